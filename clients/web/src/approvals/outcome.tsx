/** What became of a request: who decided, what was said with it, and where its output is. */

import type { Approval } from "../api/approvals";
import { store } from "../state";
import { clockText } from "../ui/words";
import { halfMinute } from "../ui/clock";
import { goTo } from "./approval_detail";
import { draftOf, fieldsOf, written } from "./payload";
import { Spelled } from "../ui/spelled";
import { Diff } from "./shown_text";
import { isFinal, outcomeText } from "./words";

export function Outcome({ approval }: { approval: Approval }) {
  const { status, decided_at, notes } = approval;
  return (
    <div class={`outcome outcome-${toneOf(status)}`} data-testid="outcome" data-status={status}>
      <p><Spelled text={outcomeText(approval)} />{decided_at && <span class="muted"> {clockText(Date.parse(decided_at), halfMinute.value)}</span>}</p>
      {notes && <p>“<Spelled text={notes} />”</p>}
      <Edited approval={approval} />
      <Output approval={approval} />
    </div>
  );
}

function Edited({ approval }: { approval: Approval }) {
  const { edited_payload, payload } = approval;
  if (edited_payload === undefined || edited_payload === null) return null;
  const action = approval.action ?? null;
  const before = draftOf({ action, payload })?.text ?? written(payload);
  const after = draftOf({ action, payload: edited_payload })?.text ?? written(edited_payload);
  return <Diff before={before} after={after} label="What was asked for, and what it was changed to" testId="outcome-diff" />;
}

function Output({ approval }: { approval: Approval }) {
  const { cursor_start, session_id } = fieldsOf(approval.result);
  const where = typeof session_id === "string" ? session_id : approval.session_id;
  if (!isFinal(approval.status) || !where || !store.sessions.value?.some(({ id }) => id === where)) return null;
  if (typeof session_id === "string") return <button type="button" class="button small" onClick={() => goTo(session_id)}>Show the session</button>;
  if (typeof cursor_start !== "string") return null;
  const show = (): void => {
    goTo(where);
    store.attachment.peek()?.history.open({ cursor: cursor_start, at: null, wanted: null });
  };
  return <button type="button" class="button small" data-testid="show-output" onClick={show}>Show where it ran</button>;
}

function toneOf(status: Approval["status"]): "good" | "bad" | "plain" {
  if (status === "executed" || status === "approved" || status === "edited" || status === "executing") return "good";
  return status === "failed" || status === "outcome_unknown" || status === "void" ? "bad" : "plain";
}
