/** Any session and any action, by a few letters of its name. */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { store } from "../state";
import { useModal } from "../ui/modal";
import { paletteItems } from "./items";
import { ranked, type PaletteItem } from "./ranking";
import "./palette.css";

export function Palette() {
  return store.palette.isOpen.value ? <PaletteDialog /> : null;
}

function PaletteDialog() {
  const modal = useModal(() => store.palette.close());
  const dialog = modal.ref;
  const typed = useSignal("");
  const at = useSignal(0);
  const items = useComputed(() => ranked(paletteItems(), typed.value, store.palette.recent)).value;
  const here = Math.min(at.value, items.length - 1);
  useEffect(() => void store.desk.fill(), []);
  useEffect(() => dialog.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [here, items]);

  const choose = (item: PaletteItem | undefined): void => {
    if (!item) return;
    store.palette.chosen(item.key);
    // Gives the focus back to where it was; what is chosen may move it on.
    dialog.current?.close();
    store.palette.close();
    item.run();
  };
  const key = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    const last = items.length - 1;
    switch (event.key) {
      case "ArrowDown":
        at.value = here >= last ? 0 : here + 1;
        break;
      case "ArrowUp":
        at.value = here <= 0 ? last : here - 1;
        break;
      case "PageDown":
        at.value = Math.min(last, here + 8);
        break;
      case "PageUp":
        at.value = Math.max(0, here - 8);
        break;
      case "Enter":
        choose(items[here]);
        break;
      default:
        return;
    }
    event.preventDefault();
  };
  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label="Find a session or an action"
      data-testid="palette"
      onKeyDown={modal.onEscape}
      onClose={modal.onClose}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <input
        type="text"
        class="palette-input"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-autocomplete="list"
        aria-activedescendant={items.length > 0 ? `palette-${here}` : undefined}
        aria-label="Find a session or an action"
        placeholder="Find a session or an action"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        data-testid="palette-input"
        value={typed}
        onInput={(event) => {
          typed.value = event.currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={key}
      />
      <ul id="palette-list" class="palette-list" role="listbox" aria-label="Sessions and actions">
        {items.map((item, index) => (
          <li
            key={item.key}
            id={`palette-${index}`}
            class="palette-item"
            role="option"
            aria-selected={index === here}
            data-testid="palette-item"
            data-key={item.key}
            onPointerMove={() => (at.value = index)}
            onClick={() => choose(item)}
          >
            <span class="palette-label">{item.label}</span>
            {item.detail && <span class="muted palette-detail">{item.detail}</span>}
            {item.shortcut ? <kbd class="muted">{item.shortcut}</kbd> : item.kind === "session" && <span class="muted palette-kind">Session</span>}
          </li>
        ))}
      </ul>
      {items.length === 0 && <p class="empty">Nothing is called “{typed}”.</p>}
      <p class="visually-hidden" role="status">{items.length} {items.length === 1 ? "entry" : "entries"}</p>
      <p class="palette-help muted" aria-hidden="true">↑ ↓ choose · Enter does it · Esc closes · Ctrl+Shift+K opens</p>
    </dialog>
  );
}
