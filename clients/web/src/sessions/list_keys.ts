/** The list by keyboard: one stop of Tab, arrows between its rows. */

import { store } from "../state";
import { sessionActions } from "./session_actions";
import { openRowMenu } from "./row_menu";

const ROWS = ".session-list .session-item";

export function focusFirstRow(): boolean {
  return focusRow(document.querySelector<HTMLElement>(ROWS) ?? undefined);
}

export function followListKey(event: KeyboardEvent): void {
  const { target } = event;
  if (!(target instanceof HTMLElement) || event.ctrlKey || event.altKey || event.metaKey) return;
  const row = target.closest<HTMLElement>("li[data-row]");
  const item = row?.querySelector<HTMLElement>(".session-item");
  if (!row || !item) return;
  const rows = [...document.querySelectorAll<HTMLElement>(ROWS)];
  const here = rows.indexOf(item);
  const done = (() => {
    switch (event.key) {
      case "ArrowDown":
        return focusRow(rows[Math.min(here + 1, rows.length - 1)]);
      case "ArrowUp":
        return focusRow(rows[Math.max(here - 1, 0)]);
      case "Home":
        return focusRow(rows[0]);
      case "End":
        return focusRow(rows.at(-1));
      case "ArrowRight":
        return focusRow(row.querySelector<HTMLElement>(".row-menu-button") ?? undefined);
      case "ArrowLeft":
        return focusRow(item);
      case "ContextMenu":
        return openMenu(row);
      case "F10":
        return event.shiftKey && openMenu(row);
      case "F2":
        return act(row, "rename");
      case "Delete":
        return act(row, "close") || act(row, "forget");
      default:
        return false;
    }
  })();
  if (done) event.preventDefault();
}

function focusRow(element: HTMLElement | undefined): boolean {
  if (!element) return false;
  store.desk.rowFocus.value = element.closest<HTMLElement>("li[data-row]")?.dataset["row"] ?? null;
  element.focus();
  element.scrollIntoView({ block: "nearest" });
  return true;
}

function openMenu(row: HTMLElement): boolean {
  const button = row.querySelector<HTMLElement>(".row-menu-button");
  if (button && row.dataset["row"]) openRowMenu(row.dataset["row"], button);
  return button !== null;
}

function act(row: HTMLElement, name: string): boolean {
  const session = store.sessions.peek()?.find(({ id }) => id === row.dataset["row"]);
  const action = session && store.mayChange.peek() ? sessionActions(session).find((known) => known.name === name) : undefined;
  action?.act();
  return action !== undefined;
}
