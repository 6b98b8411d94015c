/** The list of sessions: what runs, who has control, what wants somebody. */

import { useComputed, useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { CloseIcon, Mark, SearchIcon } from "../ui/icons";
import { ListSettings } from "../notify/notify_settings";
import { NewSession } from "./new_session";
import type { Session } from "../api/protocol";
import { belongs, byLifeThenAge, matches, SHOWN, type Shown } from "./order";
import { followListKey, focusFirstRow } from "./list_keys";
import { RowMenu } from "./row_menu";
import { SessionItem } from "./session_item";
import { watchRows } from "./shown_rows";
import { SettingsMenu } from "../settings/settings_menu";
import { store } from "../state";
import "./sessions.css";

const SHOWN_LABELS: Readonly<Record<Shown, string>> = { all: "All", needs: "Needs you", living: "Living", ended: "Ended" };

export function Sidebar() {
  const filter = useSignal("");
  const shown = useSignal<Shown>("all");
  return (
    <aside
      class="sidebar"
      id="sidebar"
      aria-label="Sessions"
      data-open={store.drawerOpen.value}
      onKeyDown={(event) => event.key === "Escape" && !event.defaultPrevented && (store.drawerOpen.value = false)}
    >
      <div class="sidebar-head">
        <div class="brand"><Mark /><strong>Baton</strong></div>
        <button type="button" class="icon-button" aria-label="Find a session or an action" title="Find a session or an action (Ctrl+Shift+K)" data-testid="open-palette" onClick={() => store.palette.open()}>
          <SearchIcon />
        </button>
        <ListSettings />
        <SettingsMenu />
        <button type="button" class="icon-button drawer-only" aria-label="Close the list" onClick={() => (store.drawerOpen.value = false)}>
          <CloseIcon />
        </button>
      </div>
      <NewSession />
      <input
        type="search"
        class="filter"
        placeholder="Filter sessions"
        aria-label="Filter sessions by name, folder, command, label or who has control"
        data-testid="filter"
        value={filter}
        onFocus={() => void store.desk.fill()}
        onInput={(event) => (filter.value = event.currentTarget.value)}
        onKeyDown={(event) => event.key === "ArrowDown" && focusFirstRow() && event.preventDefault()}
      />
      <ShownChoice shown={shown.value} choose={(choice) => (shown.value = choice)} />
      <SessionList filter={filter.value} shown={shown.value} />
      <RowMenu />
    </aside>
  );
}

function ShownChoice({ shown, choose }: { shown: Shown; choose(shown: Shown): void }) {
  const count = store.desk.needing.value.size;
  return (
    <fieldset class="shown-choice segmented">
      <legend class="visually-hidden">Which sessions</legend>
      {SHOWN.map((choice) => (
        <label key={choice}>
          <input type="radio" name="shown" checked={shown === choice} data-testid={`shown-${choice}`} onChange={() => choose(choice)} />
          <span>{SHOWN_LABELS[choice]}{choice === "needs" && count > 0 && <b class="needs-count" data-testid="needs-count">{count}</b>}</span>
        </label>
      ))}
    </fieldset>
  );
}

function SessionList({ filter, shown }: { filter: string; shown: Shown }) {
  const list = useRef<HTMLElement>(null);
  const rows = useRef(new Map<string, { session: Session; row: VNode }>());
  const all = store.sessions.value;
  const offline = store.connection.value.state === "offline";
  const sorted = useComputed(() => [...(store.sessions.value ?? [])].sort(byLifeThenAge)).value;
  useEffect(() => (list.current ? watchRows(list.current) : undefined), []);

  // Details come with each read of a row: they are looked into only where somebody filters by them.
  const details = filter.trim() === "" ? null : store.details.value;
  const listed = sorted.filter((session) => belongs(session, shown, shown === "needs" && store.desk.needing.value.has(session.id)) && matches(session, details?.get(session.id), filter));

  // A row of the same session as before is the same row: it is not even compared.
  const drawn = new Map<string, { session: Session; row: VNode }>();
  for (const session of listed) {
    const before = rows.current.get(session.id);
    drawn.set(session.id, before?.session === session ? before : { session, row: <SessionItem key={session.id} session={session} /> });
  }
  rows.current = drawn;
  const first = listed.find(({ id }) => id === store.desk.rowFocus.value) ?? listed.find(({ id }) => id === store.selected.value) ?? listed[0];
  useEffect(() => void (store.desk.tabRow.value = first?.id ?? null), [first?.id]);
  return (
    <nav class="session-list" data-testid="session-list" aria-label="Session list" aria-busy={all === null} ref={list} onKeyDown={followListKey}>
      {all === null && <p class="empty" data-testid="list-state">{offline ? "The list cannot be read: the bridge does not answer. It is tried again by itself." : "Reading the list…"}</p>}
      {all?.length === 0 && (
        <p class="empty">No sessions yet.{store.mayChange.value && <> Start one here, or run <code>baton new</code> in a terminal.</>}</p>
      )}
      {all !== null && all.length > 0 && listed.length === 0 && <p class="empty" data-testid="none-match">{noneText(filter, shown)}</p>}
      <ul>{[...drawn.values()].map(({ row }) => row)}</ul>
      <p class="visually-hidden" role="status">{filter.trim() !== "" && `${listed.length} ${listed.length === 1 ? "session" : "sessions"}`}</p>
    </nav>
  );
}

function noneText(filter: string, shown: Shown): string {
  if (filter.trim() !== "") return `No session matches “${filter}”${shown === "all" ? "" : ` among those under “${SHOWN_LABELS[shown]}”`}.`;
  return { all: "No sessions.", needs: "Nothing needs you: no bell, no question, nothing finished that you have not seen.", living: "No session is living.", ended: "No session has ended." }[shown];
}
