/** On the terminal of the session concerned: somebody asks. It decides nothing; it leads to where all of it is to be read. */

import type { Approval } from "../api/approvals";
import { store } from "../state";
import { preview } from "../ui/plain_text";
import { deedLine, deedOf } from "./payload";
import { Spelled } from "../ui/spelled";
import { asksTo } from "./words";
import "./approval_strip.css";

const PREVIEW_CHARS = 90;

export function ApprovalStrip({ session }: { session: string }) {
  const here = store.inbox.pending.value.filter((approval) => approval.session_id === session);
  const [first] = here;
  // The panel lists it already.
  const isShown = store.panel.value !== "approvals";
  return <div class="over-terminal approval-over" role="status">{first && isShown && <Strip first={first} others={here.length - 1} />}</div>;
}

function Strip({ first, others }: { first: Approval; others: number }) {
  const line = preview(deedLine(deedOf(first.action, first.payload)), PREVIEW_CHARS);
  return (
    <div class="strip approval-strip" data-testid="approval-strip">
      <span class="approval-strip-text">
        <strong><Spelled text={first.requested_by_name} /></strong> asks to {asksTo(first)}{line && <>: <span class="mono"><Spelled text={line} /></span></>}{others > 0 && ` · ${others} more`}
      </span>
      <span class="strip-actions">
        <button type="button" class="button small" data-testid="review" onClick={() => store.review(first.id)}>Review</button>
      </span>
    </div>
  );
}
