/** The panel's button, with how many wait; and the same said once to those who do not see it. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { store } from "../state";
import { plainName } from "../lease/names";
import { asksTo } from "./words";
import "./approval_strip.css";

const SHOWN_MAX = 99;

export function ApprovalsButton() {
  const waiting = store.inbox.pending.value.length;
  return (
    <>
      <ShieldIcon /><span class="approvals-word" aria-hidden="true">Approvals</span>
      <span class="visually-hidden">{waiting > 0 ? `Approvals, ${waiting} waiting` : "Approvals"}</span>
      {waiting > 0 && <span class="badge" aria-hidden="true" data-testid="approvals-badge">{waiting > SHOWN_MAX ? `${SHOWN_MAX}+` : waiting}</span>}
    </>
  );
}

/** Where there is no room for the word. */
const ShieldIcon = () => (
  <svg class="icon approvals-icon" viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
    <path d="M10 2.5 4 4.7v4.6c0 3.8 2.5 6.7 6 8.2 3.5-1.5 6-4.4 6-8.2V4.7L10 2.5ZM7.2 10l2 2 3.6-4" />
  </svg>
);

/** Says a new request once; the strip says those of the session on the screen. */
export function ApprovalsNews() {
  const said = useSignal("");
  const told = useRef<ReadonlySet<string> | null>(null);
  useSignalEffect(() => {
    if (!store.inbox.isRead.value) return;
    const waiting = store.inbox.pending.value;
    const before = told.current;
    told.current = new Set(waiting.map(({ id }) => id));
    const fresh = before === null ? [] : waiting.filter(({ id, session_id }) => !before.has(id) && session_id !== store.selected.peek());
    const [first] = fresh;
    if (first) said.value = fresh.length > 1 ? `${fresh.length} requests wait for approval.` : `${plainName(first.requested_by_name)} asks to ${asksTo(first)}.`;
    else if (waiting.length === 0) said.value = "";
  });
  return <div class="visually-hidden" role="status">{said}</div>;
}
