/** A request for approval, as tests vary it. */

import type { Approval } from "../src/api/approvals";

export const EXEC = { session_id: "ses_1", client_id: "agent:fixer", command: "rm -rf tree", timeout_s: 20 };

export function approval(more: Partial<Approval> = {}): Approval {
  return {
    id: "apr_1",
    kind: "action",
    title: "run a command",
    action: "terminal.exec",
    payload: EXEC,
    reason: "deletes",
    proposed_actions: ["deletes"],
    risk_level: "high",
    risk_tags: ["delete"],
    rule_ids: ["rm"],
    context_hash: "aa",
    cwd: "/work",
    requested_by: "tok_1",
    requested_by_name: "fixer",
    created_at: "2026-01-01T00:00:00.000Z",
    expires_at: "2026-01-01T00:15:00.000Z",
    status: "pending",
    ...more,
  };
}
