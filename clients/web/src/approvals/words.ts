/** Requests, decisions and times in plain words. */

import type { Approval, ApprovalStatus, RiskLevel } from "../api/approvals";
import { durationText } from "../ui/words";
import { fieldsOf } from "./payload";

const ASKS: Readonly<Record<string, string>> = {
  "terminal.exec": "run a command",
  "terminal.input": "type",
  "process.spawn": "start a program",
  "session.unsandboxed": "start a session that is not confined",
  "lease.take": "take control",
  "browser.navigate": "open a page",
};

/** What somebody asks to do. Without the payload: it may stand where others read along. */
export function asksTo({ action, title }: Pick<Approval, "action" | "title">): string {
  return title || ASKS[action ?? ""] || "do something";
}

export const RISKS: Readonly<Record<RiskLevel, string>> = { low: "Low risk", medium: "Medium risk", high: "High risk", critical: "Critical risk" };

/** "14:03", "1 h 4 min"; "now" when there is none left. */
export function leftText(ms: number): string {
  if (ms <= 0) return "now";
  const seconds = Math.floor(ms / 1000);
  if (seconds >= 3600) return durationText(seconds * 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** The same for ears: another text once a minute, and near the end. */
export function leftWords(ms: number): string {
  if (ms <= 0) return "its time is over";
  if (ms <= 15_000) return "less than 15 seconds left";
  if (ms <= 60_000) return "less than a minute left";
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return minutes === 1 ? "about a minute left" : `about ${minutes} minutes left`;
  const hours = Math.round(minutes / 60);
  return hours === 1 ? "about an hour left" : `about ${hours} hours left`;
}

const FINAL: ReadonlySet<ApprovalStatus> = new Set(["denied", "expired", "cancelled", "void", "superseded", "executed", "failed", "outcome_unknown"]);

/** Nothing more becomes of it. */
export function isFinal(status: ApprovalStatus): boolean {
  return FINAL.has(status);
}

export const STATUS: Readonly<Record<ApprovalStatus, string>> = {
  pending: "Waits",
  approved: "Approved",
  edited: "Changed and approved",
  executing: "Being done",
  executed: "Done",
  failed: "Failed",
  outcome_unknown: "Outcome unknown",
  denied: "Denied",
  expired: "Expired",
  cancelled: "Taken back",
  void: "Void",
  superseded: "Changed, asked anew",
};

/** What became of it, in a sentence or two. */
export function outcomeText(approval: Approval): string {
  const { status, decision, result } = approval;
  const by = approval.decided_by ?? "Somebody";
  const yes = decision === "edit" ? `${by} changed it and approved that` : `${by} approved it`;
  switch (status) {
    case "pending":
      return "It waits for a person.";
    case "approved":
    case "edited":
      return `${yes}. It has not begun yet.`;
    case "executing":
      return `${yes}. It is being done.`;
    case "executed":
      return `${yes}. ${resultText(result)}`;
    case "failed":
      return `${yes}, and it could not be done: ${detailOf(result)}`;
    case "outcome_unknown":
      return `${yes}, and nobody knows whether it was done: ${detailOf(result)}`;
    case "denied":
      return `${by} said no. It was not done.`;
    case "expired":
      return "Nobody decided in time, which is a no. It was not done.";
    case "cancelled":
      return "It was taken back: by who asked, or with the token of who asked. It was not done.";
    case "void":
      return approval.superseded_by
        ? "What it showed was no longer so. Nothing was done, and it is asked again as things are now."
        : "What it showed was no longer so. Nothing was done, and it was not asked again: who asked had lost control, or the session was gone.";
    case "superseded":
      return `${by} changed it to something riskier. Nothing was done; that asks for itself.`;
  }
}

function resultText(result: unknown): string {
  const { exit_code, timed_out, session_id, accepted } = fieldsOf(result);
  if (timed_out === true) return "It was run, and had not ended when nobody waited any longer.";
  if (typeof exit_code === "number") return exit_code === 0 ? "It was run: exit code 0." : `It was run and failed: exit code ${exit_code}.`;
  if (typeof accepted === "number") return "It was typed.";
  return typeof session_id === "string" ? "It was started." : "It was done.";
}

function detailOf(result: unknown): string {
  const { detail, code } = fieldsOf(result);
  return typeof detail === "string" ? detail : typeof code === "string" ? code : "the reason is not known";
}

/** A refusal of a decision, told to the person who made it. */
export function refusalText(code: string, detail: string): string {
  switch (code) {
    case "already_decided":
      return "It was decided before: your decision did not count.";
    case "context_changed":
      return "Nothing was done: what you saw was no longer so.";
    case "denied":
      return `The policy forbids what you made of it: ${detail}`;
    case "forbidden":
      return `You may not decide this: ${detail}`;
    case "not_found":
      return "It is gone: the session or who asked is no longer there.";
    default:
      return `It was not decided: ${detail}`;
  }
}
