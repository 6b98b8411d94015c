/** Keys that are the page's own while the terminal has the focus, and a name for its text field. */

import { clampFont, DEFAULTS } from "../settings/settings";
import { store } from "../state";
import type { Attachment } from "./attachment";

/** How the text size changes, by the key that is pressed with Ctrl and Shift. */
const ZOOM: Readonly<Record<string, (px: number) => number>> = {
  Equal: (px) => px + 1,
  NumpadAdd: (px) => px + 1,
  Minus: (px) => px - 1,
  NumpadSubtract: (px) => px - 1,
  Digit0: () => DEFAULTS.font_px,
};

export function prepareKeyboard(attachment: Attachment): void {
  const { term } = attachment.screen;
  term.attachCustomKeyEventHandler((event) => {
    if (event.key === "F6" && event.ctrlKey) return false;
    if (!event.ctrlKey || !event.shiftKey || event.altKey) return true;
    const pressed = event.type === "keydown";
    if (event.code === "KeyC") {
      // With nothing marked as well: browsers open their tools for it.
      event.preventDefault();
      if (pressed) void attachment.copySelection();
      return false;
    }
    const zoom = Object.hasOwn(ZOOM, event.code) ? ZOOM[event.code] : undefined;
    if (zoom) {
      event.preventDefault();
      const { value } = store.settings;
      if (pressed) store.settings.value = { ...value, font_px: clampFont(zoom(value.font_px)) };
      return false;
    }
    // The browser pastes by itself; `listen.ts` hears it.
    return event.code !== "KeyV";
  });
  term.textarea?.setAttribute("aria-label", "Terminal. Control F6 leaves it.");
  attachment.focus();
}
