/** One event as the panel keeps it: what rows and filters need, and the message as it came. */

import type { SessionEvent } from "../api/protocol";
import type { Narrator } from "./narrator";

/** Kinds of events by what people look for, in the order of their chips. */
export const GROUPS = {
  commands: "Commands",
  attention: "Attention",
  control: "Control",
  life: "Sessions",
  size: "Size",
  guard: "Limits",
  approvals: "Approvals",
  baton: "Baton",
  other: "Other",
} as const;

export type Group = keyof typeof GROUPS;

export interface LogEntry {
  seq: number;
  /** Milliseconds since 1970. */
  at: number;
  /** `type` of the event; of a mark its kind. */
  type: string;
  /** null: events are missing here, whatever is asked for. */
  group: Group | null;
  /** The session it is about. */
  session: string | null;
  words: string;
  /** How it matters. */
  tone: "plain" | "good" | "warn" | "bad";
  /** The message, as it came. */
  json: string;
}

const GROUP_OF: Readonly<Record<string, Group>> = {
  prompt: "commands", command: "commands", command_end: "commands", title: "commands", cwd: "commands",
  bell: "attention", notification: "attention",
  lease: "control", clients: "control",
  status: "life", exit: "life",
  resize: "size",
  limit: "guard", denied: "guard",
};

/** The entry of a message; null for what is no event. */
export function entryOf(json: string, narrator: Narrator): LogEntry | null {
  const event = parsed(json);
  if (event === null) return null;
  const data = typeof event.data === "object" && event.data !== null ? (event.data as Record<string, unknown>) : {};
  const kind = event.type === "mark" && typeof data["kind"] === "string" ? data["kind"] : event.type;
  return {
    seq: event.seq,
    at: Date.parse(event.at) || 0,
    type: kind,
    group: groupOf(event, kind),
    session: event.scope === "session" ? event.scope_id : typeof data["session_id"] === "string" ? data["session_id"] : null,
    words: narrator.say(event),
    tone: toneOf(kind, data),
    json,
  };
}

function groupOf(event: SessionEvent, kind: string): Group | null {
  if (event.type === "gap") return null;
  if (event.scope === "approval") return "approvals";
  if (event.scope === "system") return "baton";
  return Object.hasOwn(GROUP_OF, kind) ? (GROUP_OF[kind] ?? "other") : "other";
}

function toneOf(kind: string, data: Record<string, unknown>): LogEntry["tone"] {
  switch (kind) {
    case "command_end":
      return typeof data["exit_code"] !== "number" ? "plain" : data["exit_code"] === 0 ? "good" : "bad";
    case "exit":
      return data["code"] === 0 ? "plain" : "bad";
    case "limit":
      return data["reached"] === false ? "plain" : "warn";
    case "denied":
    case "gap":
      return "warn";
    case "bell":
    case "notification":
    case "approval.requested":
      return "warn";
    default:
      return data["refused"] ? "bad" : "plain";
  }
}

function parsed(json: string): SessionEvent | null {
  try {
    const event = JSON.parse(json) as Partial<SessionEvent> | null;
    const whole = event && Number.isSafeInteger(event.seq) && typeof event.type === "string" && typeof event.scope === "string" && typeof event.scope_id === "string" && typeof event.at === "string";
    return whole ? (event as SessionEvent) : null;
  } catch {
    return null;
  }
}
