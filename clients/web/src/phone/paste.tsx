/** Pasting by a button: from the clipboard where the browser lets the page read it, else by hand. */

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

export function PasteDialog({ onPaste, onClose }: { onPaste(text: string): void; onClose(): void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const paste = (): void => {
    onClose();
    onPaste(field.current?.value ?? "");
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
