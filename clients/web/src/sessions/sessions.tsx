/** The list of sessions: what runs, who has control, when something last happened. */

import { useComputed, useSignal } from "@preact/signals";
import { halfMinute } from "../ui/clock";
import { CloseIcon, Mark } from "../ui/icons";
import { ownerLabel } from "../lease/lease_view";
import { NewSession } from "./new_session";
import type { Session } from "../api/protocol";
import { SettingsMenu } from "../settings/settings_menu";
import { store } from "../state";
import { agoText, sessionName, sessionSubtitle, statusText } from "../ui/words";

export function Sidebar() {
  const filter = useSignal("");
  return (
    <aside
      class="sidebar"
      id="sidebar"
      aria-label="Sessions"
      data-open={store.drawerOpen.value}
      onKeyDown={(event) => event.key === "Escape" && (store.drawerOpen.value = false)}
    >
      <div class="sidebar-head">
        <div class="brand"><Mark /><strong>Baton</strong></div>
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
        aria-label="Filter sessions"
        value={filter}
        onInput={(event) => (filter.value = event.currentTarget.value)}
      />
      <SessionList filter={filter.value} />
    </aside>
  );
}

function SessionList({ filter }: { filter: string }) {
  const all = store.sessions.value;
  const sorted = useComputed(() => [...(store.sessions.value ?? [])].sort(byLifeThenAge));
  const wanted = filter.trim().toLowerCase();
  const shown = sorted.value.filter((session) => wanted === "" || searchText(session).includes(wanted));
  return (
    <nav class="session-list" data-testid="session-list" aria-label="Session list" aria-busy={all === null}>
      {all === null && <p class="empty">Reading the list…</p>}
      {all?.length === 0 && (
        <p class="empty">No sessions yet. Start one here, or run <code>baton new</code> in a terminal.</p>
      )}
      {all !== null && all.length > 0 && shown.length === 0 && <p class="empty">No session matches “{filter}”.</p>}
      <ul>
        {shown.map((session) => <SessionItem key={session.id} session={session} />)}
      </ul>
    </nav>
  );
}

function SessionItem({ session }: { session: Session }) {
  const selected = store.selected.value === session.id;
  const foreground = store.details.value.get(session.id)?.foreground?.command ?? null;
  const name = sessionName(session);
  const owner = session.lease;
  const mine = selected && owner?.owner === store.attachment.value?.clientId;
  return (
    <li>
      <button
        type="button"
        class="session-item"
        data-testid="session-item"
        data-session-id={session.id}
        data-status={session.status}
        aria-current={selected ? "true" : undefined}
        onClick={() => store.select(session.id)}
      >
        <span class="row">
          <span class="session-name" title={name}>{name}</span>
          <span class="muted ago">{agoText(session.last_activity_at, halfMinute.value)}</span>
        </span>
        <span class="session-subtitle" title={sessionSubtitle(session, foreground)}>{sessionSubtitle(session, foreground)}</span>
        <span class="row session-facts">
          <span class={`status status-${session.parked ? "parked" : session.status}`}>
            <span class="dot" aria-hidden="true" />
            <span>{statusText(session)}</span>
          </span>
          {owner && <span class="owner">{mine ? "You have control" : `${ownerLabel(owner)}${owner.expired ? " (away)" : ""}`}</span>}
          {session.client_count > 0 && <span class="muted attached">{session.client_count} attached</span>}
        </span>
      </button>
    </li>
  );
}

/** Living sessions first; within each, in the order they were made, so that rows do not jump. */
function byLifeThenAge(a: Session, b: Session): number {
  const life = Number(isLiving(b)) - Number(isLiving(a));
  return life !== 0 ? life : Date.parse(b.created_at) - Date.parse(a.created_at);
}

function isLiving({ status }: Session): boolean {
  return status === "starting" || status === "running";
}

function searchText(session: Session): string {
  const { title, terminal_title, command, id, status, lease } = session;
  return [title, terminal_title ?? "", command.join(" "), id, status, lease?.owner_name ?? ""].join("\n").toLowerCase();
}
