/** What is another now, between a request and the one that asks in its place. */

import type { Approval, BoundTo } from "../api/approvals";
import { deedLine, deedOf, written } from "./payload";

/** Something that a request tells, before and now. */
export interface Change {
  what: string;
  before: string;
  after: string;
}

type Compared = Pick<
  Approval,
  "action" | "payload" | "cwd" | "reason" | "proposed_actions" | "risk_level" | "risk_tags" | "rule_ids" | "lease_epoch" | "session_id" | "requested_by_name" | "bound_to"
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
  compare("Control", ({ lease_epoch }) => (typeof lease_epoch === "number" ? `handed on ${lease_epoch} times` : "not held"));
  return changes;
}

/** What a decision about the same is bound to besides, and is another now: a sentence each. Something else names other things. */
export function boundChanges(before: Pick<Approval, "payload" | "bound_to">, after: Pick<Approval, "payload" | "bound_to">): string[] {
  if (written(before.payload) !== written(after.payload)) return [];
  const old = new Map((before.bound_to ?? []).map((thing) => [keyOf(thing), thing]));
  const now = new Map((after.bound_to ?? []).map((thing) => [keyOf(thing), thing]));
  // Neither tells of it: a bridge that does not know how.
  if (old.size === 0 || now.size === 0) return [];
  const told: string[] = [];
  for (const [key, thing] of old) {
    const other = now.get(key);
    if (!other) told.push(`${nameOf(thing)} is gone`);
    else if (other.state !== thing.state || other.leads_to !== thing.leads_to) told.push(differenceOf(thing, other));
  }
  for (const [key, thing] of now) if (!old.has(key)) told.push(`${nameOf(thing)} was made since`);
  return told;
}

/** What may differ when nothing does that is told: the hash is of more. */
export const UNSEEN_CHANGE = "It reads the same, and something that it depends on is another now. Look at it again before you say yes.";

function keyOf({ kind, name }: BoundTo): string {
  return `${kind} ${name}`;
}

function differenceOf(before: BoundTo, after: BoundTo): string {
  const name = nameOf(after);
  switch (after.kind) {
    case "policy":
      return "The policy was changed";
    case "foreground":
      return "Another program has the terminal";
    case "session":
      return "The session was started again, or is granted other things";
    case "environment":
      return "The environment has other names";
    case "directory":
      return `${name} is another one of the same name`;
    case "program":
    case "file":
      if (before.state === null) return `${name} was made since`;
      if (after.state === null) return `${name} is gone`;
      if (before.leads_to !== after.leads_to) return `${name} leads to ${after.leads_to ?? "itself"} now, and led to ${before.leads_to ?? "itself"}`;
      return `${name} was changed or replaced since`;
  }
}

function nameOf({ kind, name }: BoundTo): string {
  switch (kind) {
    case "program":
      return `The program ${name}`;
    case "file":
      return `The file ${name}`;
    case "directory":
      return `The directory ${name}`;
    case "environment":
    case "session":
    case "foreground":
    case "policy":
      return `The ${kind}`;
  }
}

function payloadText({ action, payload }: Compared): string {
  const deed = deedOf(action, payload);
  return deed.kind === "command" || deed.kind === "typed" ? deedLine(deed) : written(payload);
}

function payloadName({ action, payload }: Compared): string {
  const { kind } = deedOf(action, payload);
  return kind === "command" ? "Command" : kind === "typed" ? "What is typed" : "Payload";
}
