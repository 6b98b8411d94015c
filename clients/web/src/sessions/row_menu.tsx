/** What can be done with a session from its row. One menu, over the list, which would cut it off. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { store } from "../state";
import { sessionActions } from "./session_actions";

const opened = signal<{ id: string; by: HTMLElement } | null>(null);
const MENU_WIDTH_PX = 216;

export function openRowMenu(id: string, by: HTMLElement): void {
  opened.value = { id, by };
}

export function RowMenu() {
  const menu = useRef<HTMLDivElement>(null);
  const { value: at } = opened;
  const session = store.sessions.value?.find(({ id }) => id === at?.id);
  useEffect(() => {
    const element = menu.current;
    if (!element || !at) return;
    const { right, bottom, top } = at.by.getBoundingClientRect();
    element.showPopover();
    const { offsetHeight } = element;
    element.style.left = `${Math.max(8, Math.min(right - 24, innerWidth - MENU_WIDTH_PX - 8))}px`;
    element.style.top = `${bottom + offsetHeight + 8 > innerHeight ? Math.max(8, top - offsetHeight) : bottom}px`;
    element.querySelector("button")?.focus();
  }, [at]);
  if (!at || !session) return null;
  const close = (): void => {
    opened.value = null;
    at.by.focus();
  };
  const move = (event: KeyboardEvent): void => {
    const items = [...(menu.current?.querySelectorAll("button") ?? [])];
    const here = items.indexOf(document.activeElement as HTMLButtonElement);
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (event.key === "ArrowDown") items[(here + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp") items[(here - 1 + items.length) % items.length]?.focus();
    else if (event.key === "Home") items[0]?.focus();
    else if (event.key === "End") items.at(-1)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div
      class="row-menu"
      popover="auto"
      role="menu"
      aria-label="What to do with this session"
      ref={menu}
      data-testid="row-menu-body"
      onKeyDown={move}
      onToggle={(event) => event.newState === "closed" && opened.peek() === at && (opened.value = null)}
    >
      {sessionActions(session).map(({ name, label, key, danger, act }) => (
        <button key={name} type="button" role="menuitem" class={`button quiet ${danger ? "danger-text" : ""}`} data-testid={`do-${name}`} onClick={() => { close(); act(); }}>
          {label} {key && <kbd class="muted">{key}</kbd>}
        </button>
      ))}
    </div>
  );
}
