/** Pasting by a button: from the clipboard where the browser lets the page read it, else by hand. */

import type { Terminal } from "@xterm/xterm";
import { useRef } from "preact/hooks";
import { Dialog } from "../ui/dialog";

/** What is in the clipboard; null when the browser does not let us look. */
export async function readClipboard(): Promise<string | null> {
  try {
    // Exists in secure contexts only.
    return (await (navigator as Partial<Navigator>).clipboard?.readText()) ?? null;
  } catch {
    return null;
  }
}

/** As if it were pasted by hand: whatever guards pastes sees this one too. */
export function pasteInto(term: Terminal, text: string): void {
  if (text === "") return;
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
  // Some browsers make such an event without what is pasted.
  if (event.clipboardData?.getData("text/plain") === text) term.textarea?.dispatchEvent(event);
  else term.paste(text);
}

export function PasteDialog({ term, onClose }: { term: Terminal; onClose(): void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const paste = (): void => {
    pasteInto(term, field.current?.value ?? "");
    onClose();
  };
  return (
    <Dialog title="Paste into the terminal" onClose={onClose}>
      <label class="field">
        <span>The browser does not let this page read the clipboard. Paste here by hand.</span>
        <textarea ref={field} class="paste-field mono" rows={5} autocomplete="off" spellcheck={false} data-testid="paste-field" />
      </label>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>Cancel</button>
        <button type="button" class="button primary" data-testid="paste-now" onClick={paste}>Paste</button>
      </div>
    </Dialog>
  );
}
