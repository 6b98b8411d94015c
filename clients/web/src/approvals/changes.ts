/** What is another now, between a request and the one that asks in its place. */

import type { Approval } from "../api/approvals";
import { deedLine, deedOf, written } from "./payload";

export interface Change {
  what: string;
  before: string;
  after: string;
}

type Compared = Pick<
  Approval,
  "action" | "payload" | "cwd" | "reason" | "proposed_actions" | "risk_level" | "risk_tags" | "rule_ids" | "lease_epoch" | "session_id" | "requested_by_name" | "context_hash"
>;

export function changesBetween(before: Compared, after: Compared): Change[] {
  const changes: Change[] = [];
  const compare = (what: string, read: (approval: Compared) => string): void => {
    const [old, now] = [read(before), read(after)];
    if (old !== now) changes.push({ what, before: old, after: now });
  };
  compare("What is done", ({ action }) => action ?? "");
  compare(payloadName(before), payloadText);
  compare("Directory", ({ cwd }) => cwd ?? "none");
  compare("Session", ({ session_id }) => session_id ?? "none");
  compare("Who asks", ({ requested_by_name }) => requested_by_name);
  compare("Risk", ({ risk_level, risk_tags }) => [risk_level, ...risk_tags].join(", "));
  compare("Rules", ({ rule_ids }) => rule_ids.join(", ") || "none");
  compare("Why it is asked", ({ reason, proposed_actions }) => [...new Set([reason, ...proposed_actions])].join("\n"));
  compare("Control", ({ lease_epoch }) => (typeof lease_epoch === "number" ? `handed over for the ${lease_epoch}. time` : "not held"));
  return changes;
}

/** What may differ when nothing does that a request tells: the hash is of more than it shows. */
export function unseenChange(action: string | null | undefined): string {
  const named = action === "terminal.exec" || action === "process.spawn" || action === "session.unsandboxed";
  const files = named ? "a program or file that it names was edited, replaced or made, " : "";
  return `It reads the same, and means something else: ${files}another program has the terminal, the session's grants are others, or the policy is. Look at it before you say yes.`;
}

function payloadText({ action, payload }: Compared): string {
  const deed = deedOf(action, payload);
  return deed.kind === "command" || deed.kind === "typed" ? deedLine(deed) : written(payload);
}

function payloadName({ action, payload }: Compared): string {
  const { kind } = deedOf(action, payload);
  return kind === "command" ? "Command" : kind === "typed" ? "What is typed" : "Payload";
}
