/** Keys that are the page's own wherever the focus is; everything else is the terminal's. */

import { store } from "../state";

/** Ctrl or Cmd with Shift, so that no program in the terminal misses them. */
export function followShortcut(event: KeyboardEvent): void {
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
