/** Keys that are the page's own wherever the focus is; everything else is the terminal's. */

import { opensPalette } from "../palette/palette_keys";
import { store } from "../state";

/** Ctrl or Cmd with Shift, so that no program in the terminal misses them. */
export function followShortcut(event: KeyboardEvent): void {
  if (followPaletteKey(event)) return;
  const attachment = store.attachment.peek();
  if (!event.shiftKey || event.altKey || event.ctrlKey === event.metaKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.code === "KeyF" && attachment) attachment.openSearch();
  else if (event.code === "KeyH" && attachment) attachment.toggleHistory();
  else if (event.code === "KeyA") showApprovals();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Opens the approvals, or goes there; pressed again there, back to the terminal. */
function showApprovals(): void {
  const panel = document.getElementById("side-panel");
  const isThere = store.panel.peek() === "approvals";
  if (isThere && panel?.contains(document.activeElement)) {
    store.panel.value = null;
    store.attachment.peek()?.focus();
  } else if (isThere) {
    document.getElementById("side-panel-title")?.focus();
  } else {
    store.panel.value = "approvals";
  }
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
