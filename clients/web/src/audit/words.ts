/** Rows of the audit log in plain words. */

import type { AuditRow } from "../api/protocol";
import { plainText } from "../ui/plain_text";

/** Every action there is, as the bridge spells it, and what it means. */
export const ACTIONS: Readonly<Record<string, string>> = {
  "login": "Sign in",
  "logout": "Sign out",
  "token.create": "Make a token",
  "token.delete": "Revoke a token",
  "token.list": "List the tokens",
  "token.use": "Use a token that is none",
  "link.create": "Make a link",
  "link.delete": "Take a link back",
  "session.create": "Create a session",
  "session.start": "A program starts",
  "session.end": "A program ends",
  "session.close": "Close a session",
  "session.respawn": "Start a session again",
  "session.forget": "Forget a session",
  "session.change": "Change a session",
  "lease.change": "Control moves",
  "exec": "Run a line",
  "signal": "Send a signal",
  "upgrade": "Replace a part of Baton",
  "policy.change": "Change the policy",
  "settings.change": "Change a setting",
  "decision": "Decide",
  "audit.read": "Read the audit log",
  "gap": "Rows that could not be written",
};

/** What was done, with the few details that make it a sentence. */
export function actionText({ action, details, outcome }: AuditRow): string {
  const known = ACTIONS[action] ?? plainText(action);
  const said = isObject(details) ? details : {};
  const of = (name: string): string => (said[name] === undefined || said[name] === null ? "" : plainText(String(said[name])));
  switch (action) {
    case "decision":
      return `${known} on ${of("action") || "an action"}: ${of("status").replaceAll("_", " ") || `${plainText(outcome)} by the policy`}`;
    case "audit.read":
      return of("as") === "verify" ? "Check the audit log" : of("as") === "jsonl" ? "Export the audit log" : known;
    case "signal":
      return of("signal") ? `${known} (${of("signal")})` : known;
    case "settings.change":
      return of("changed") ? `${known}: ${of("changed")}` : known;
    case "gap":
      return of("lost") ? `${of("lost")} rows could not be written` : known;
    default:
      return known;
  }
}

/** Who did it. */
export function actorText({ actor }: AuditRow): string {
  const name = plainText(actor.name);
  if (actor.kind === "nobody") return "Nobody known";
  if (actor.kind === "baton") return "Baton";
  return name ? `${name} (${plainText(actor.kind)})` : plainText(actor.kind);
}

/** How it went: `allowed`, or why not. */
export function outcomeText({ outcome, code }: AuditRow): string {
  const said = code && code !== outcome ? `${plainText(outcome)}: ${plainText(code).replaceAll("_", " ")}` : plainText(outcome);
  return said.charAt(0).toUpperCase() + said.slice(1);
}

/** What a decision said of its action; null for rows that are none. */
export function decisionOf({ action, details, outcome }: AuditRow): string | null {
  if (action !== "decision" || !isObject(details)) return null;
  const { status, rules } = details;
  if (typeof status === "string") return status.replaceAll("_", " ");
  return Array.isArray(rules) ? `${outcome} by ${rules.join(", ") || "no rule of its own"}` : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
