/** What a finger selected, and how to have it: phones have no Ctrl+C. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { copyText } from "../clipboard/copy";
import { store } from "../state";
import type { Attachment } from "../terminal/attachment";

export function TouchCopy({ attachment }: { attachment: Attachment }) {
  const selected = useSignal(false);
  const { term } = attachment.screen;
  useEffect(() => {
    const follow = term.onSelectionChange(() => (selected.value = term.hasSelection()));
    return () => follow.dispose();
  }, [term]);
  if (!selected.value) return null;
  const copy = async (): Promise<void> => {
    const copied = await copyText(term.getSelection());
    store.notify(copied ? "Copied." : "The browser did not let this page copy.", copied ? "info" : "warn");
    if (copied) term.clearSelection();
  };
  // The focus stays where it is, and with it the phone's keyboard.
  const keepFocus = (event: Event): void => event.preventDefault();
  return (
    <div class="touch-copy" data-testid="touch-copy" onPointerDown={keepFocus} onMouseDown={keepFocus}>
      <button type="button" class="button primary" data-testid="touch-copy-button" onClick={() => void copy()}>Copy</button>
      <button type="button" class="button" onClick={() => term.clearSelection()}>Clear</button>
    </div>
  );
}
