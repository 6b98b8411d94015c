/** What waits, soonest to run out first; below it what was decided. A row opens its request and decides nothing. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Approval } from "../api/approvals";
import { store } from "../state";
import { halfMinute } from "../ui/clock";
import { agoText, sessionName } from "../ui/words";
import { AlertChoices } from "./alert_choices";
import { Countdown } from "./countdown";
import { preview } from "../ui/plain_text";
import { deedLine, deedOf } from "./payload";
import { Spelled } from "../ui/spelled";
import { asksTo, RISKS, STATUS } from "./words";

const PREVIEW_CHARS = 160;

export function ApprovalList({ from }: { from: string | null }) {
  const list = useRef<HTMLDivElement>(null);
  const { pending, decided, isAllowed, isRead, hasMore, older, isReadingOlder, trouble } = store.inbox;
  useLayoutEffect(() => {
    if (older.peek() === undefined) void store.inbox.readOlder();
    // Back where one came from; a panel that was just opened has the focus on its title.
    if (from) rowsOf(list.current).find((row) => row.dataset["approvalId"] === from)?.focus();
  }, []);
  if (!isAllowed.value) {
    return <p class="empty" data-testid="approvals-not-shown">Your link is for watching one session. What waits for approval is not shown with it.</p>;
  }
  return (
    <div class="approval-scroll" ref={list}>
      {trouble.value && <p class="message" role="alert">The requests could not be read: {trouble}</p>}
      <h3 class="list-title" id="approvals-waiting">Waiting{pending.value.length > 0 && ` (${pending.value.length})`}</h3>
      {pending.value.length === 0 && <p class="empty">{isRead.value ? "Nothing waits for you. What an agent may not do by itself is asked here." : "Reading what waits…"}</p>}
      <ul class="approval-rows" aria-labelledby="approvals-waiting" data-testid="pending-list">
        {pending.value.map((approval) => <Row key={approval.id} approval={approval} />)}
      </ul>
      {hasMore.value && <p class="help">More wait than are shown here.</p>}
      {decided.value.length > 0 && (
        <>
          <h3 class="list-title" id="approvals-decided">Decided</h3>
          <ul class="approval-rows" aria-labelledby="approvals-decided" data-testid="decided-list">
            {decided.value.map((approval) => <Row key={approval.id} approval={approval} />)}
          </ul>
        </>
      )}
      {typeof older.value === "string" && (
        <button type="button" class="button small older-button" disabled={isReadingOlder} onClick={() => void store.inbox.readOlder()}>
          {isReadingOlder.value ? "Reading…" : "Show earlier ones"}
        </button>
      )}
      <AlertChoices />
      <p class="help keys-help">
        <kbd>Ctrl+Shift+A</kbd> comes here from anywhere, <kbd>j</kbd> <kbd>k</kbd> move, Enter opens. On an open request <kbd>Ctrl+Enter</kbd> approves and <kbd>Ctrl+Backspace</kbd> denies.
      </p>
    </div>
  );
}

function Row({ approval }: { approval: Approval }) {
  const { id, status, session_id, risk_level, requested_by_name, decided_at, created_at } = approval;
  const session = store.sessions.value?.find((known) => known.id === session_id);
  const line = preview(deedLine(deedOf(approval.action, approval.payload)), PREVIEW_CHARS);
  return (
    <li>
      <button type="button" class="approval-row" data-testid="approval-row" data-approval-id={id} data-status={status} onClick={() => (store.inbox.shown.value = id)}>
        <span class="row">
          <span class="approval-row-title"><strong><Spelled text={requested_by_name} /></strong> {status === "pending" ? "asks to" : "asked to"} {asksTo(approval)}</span>
          {status === "pending" ? <Countdown approval={approval} /> : <span class="muted ago">{agoText(decided_at ?? created_at, halfMinute.value)}</span>}
        </span>
        {line && <span class="approval-row-line mono"><Spelled text={line} /></span>}
        <span class="row approval-row-facts">
          <span class={`risk risk-${risk_level}`}>{RISKS[risk_level]}</span>
          {status !== "pending" && <span class={`decided decided-${status}`}>{STATUS[status]}</span>}
          {session && <span class="muted approval-row-session"><Spelled text={sessionName(session)} /></span>}
        </span>
      </button>
    </li>
  );
}

function rowsOf(list: HTMLElement | null): HTMLElement[] {
  return list ? [...list.querySelectorAll<HTMLElement>(".approval-row")] : [];
}

/** By `j`, `k` and the arrows between the rows; from anywhere else to the first. */
export function moveFocus(event: KeyboardEvent, list: HTMLElement | null): void {
  const step = event.key === "j" || event.key === "ArrowDown" ? 1 : event.key === "k" || event.key === "ArrowUp" ? -1 : 0;
  if (step === 0) return;
  const rows = rowsOf(list);
  const here = rows.findIndex((row) => row === document.activeElement);
  const next = rows[here === -1 ? 0 : Math.min(rows.length - 1, Math.max(0, here + step))];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
