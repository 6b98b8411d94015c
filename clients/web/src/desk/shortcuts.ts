/** Keys that are the page's own wherever the focus is; everything else is the terminal's. */

import { opensPalette } from "../palette/palette_keys";
import { store } from "../state";

/** Ctrl or Cmd with Shift, so that no program in the terminal misses them. */
export function followShortcut(event: KeyboardEvent): void {
  if (followPaletteKey(event)) return;
  const attachment = store.attachment.peek();
  if (!attachment || !event.shiftKey || event.altKey || event.ctrlKey === event.metaKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.code === "KeyF") attachment.openSearch();
  else if (event.code === "KeyH") attachment.toggleHistory();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function followPaletteKey(event: KeyboardEvent): boolean {
  if (store.signIn.peek().state !== "in" || document.querySelector("dialog[open]")) return false;
  const inTerminal = event.target instanceof Element && event.target.closest(".terminal-pane") !== null;
  if (!opensPalette(event, inTerminal)) return false;
  event.preventDefault();
  event.stopPropagation();
  store.palette.open();
  return true;
}
