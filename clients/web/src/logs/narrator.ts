/**
 * What an event says, in plain words.
 *
 * A shell does not repeat its command when it ends, and a lease does not name who had it before: the narrator remembers both,
 * session by session, and is told the events in their order.
 */

import type { Exit, Lease, Mark, SessionEvent } from "../api/protocol";
import { durationText, exitText } from "../ui/words";
import { plainText } from "../ui/plain_text";

/** Sessions remembered; with more, all are forgotten: then a sentence is shorter, never wrong. */
const SESSIONS_MAX = 2_000;
const NAMES_MAX = 3;
const RAW_CHARS_MAX = 160;

const KINDS: Readonly<Record<string, string>> = { web: "page", desktop: "desktop", cli: "command line", agent: "agent", mcp: "agent" };
const ACTS: Readonly<Record<string, string>> = { read: "read", write: "write", create: "create", delete: "delete", reach: "reach" };

interface Remembered {
  command: string | null;
  owner: string | null;
}

export class Narrator {
  readonly #sessions = new Map<string, Remembered>();

  say(event: SessionEvent): string {
    const data = isObject(event.data) ? event.data : {};
    switch (event.type) {
      case "mark":
        return this.#mark(event.scope_id, data as unknown as Mark & { left_out?: number | null });
      case "lease":
        return this.#lease(event.scope_id, (data["lease"] ?? null) as Lease | null);
      case "clients":
        return clientsText(data);
      case "status":
        return statusText(data);
      case "resize":
        return `The screen is ${number(data["cols"])} × ${number(data["rows"])} now`;
      case "exit":
        return plainText(exitText(data as unknown as Exit));
      case "limit":
        return limitText(data);
      case "denied":
        return typeof data["message"] === "string" ? plainText(data["message"]) : `The sandbox refused to ${ACTS[text(data["act"])] ?? "touch"} ${text(data["path"])}`;
      case "settings.changed":
        return data["refused"] ? `The configuration file is not valid: ${text(data["refused"])}` : `Settings changed: ${list(data["changed"]) || "nothing that shows"}`;
      case "policy.changed":
        return data["refused"] ? `The policy file is not valid: ${text(data["refused"])}` : "The policy changed";
      case "bridge":
        return data["started"] ? `The bridge started (process ${number(data["pid"])})` : `The bridge: ${raw(data)}`;
      case "gap":
        return gapText(data["lost"]);
    }
    if (event.type.startsWith("approval.")) return approvalText(event.type, data);
    return Object.keys(data).length > 0 ? raw(data) : event.type;
  }

  #mark(session: string, mark: Mark & { left_out?: number | null }): string {
    const said = plainText(typeof mark.text === "string" ? mark.text : "");
    const more = typeof mark.left_out === "number" && mark.left_out > 0 ? ` (${mark.left_out} marks before it were too many to tell)` : "";
    return this.#marked(this.#of(session), mark, said) + more;
  }

  #marked(known: Remembered, mark: Mark, said: string): string {
    switch (mark.kind) {
      case "prompt":
        return "The shell waits at its prompt";
      case "command":
        known.command = said;
        return said ? `Runs: ${said}` : "Runs a command";
      case "command_end": {
        const name = known.command;
        known.command = null;
        const how = typeof mark.exit_code !== "number" ? "Ended" : mark.exit_code === 0 ? "Ended normally" : `Exit code ${mark.exit_code}`;
        // How it went comes first: the end of a long line is cut off.
        return `${how}${typeof mark.duration_ms === "number" ? ` after ${durationText(mark.duration_ms)}` : ""}: ${name || "a command"}`;
      }
      case "bell":
        return "Bell";
      case "notification":
        return `Notification: ${said || "without a text"}`;
      case "title":
        return said ? `Calls itself “${said}”` : "Took its title back";
      case "cwd":
        return `Works in ${said || "another directory"}`;
      default:
        return `${plainText(String(mark.kind))} ${said}`.trim();
    }
  }

  #lease(session: string, lease: Lease | null): string {
    const known = this.#of(session);
    const before = known.owner;
    if (lease === null) {
      known.owner = null;
      return before ? `${before} gave up control: it is free` : "Control is free";
    }
    const owner = `${plainText(lease.owner_name) || "Somebody"} (${KINDS[lease.owner_kind] ?? plainText(lease.owner_kind)})`;
    known.owner = owner;
    if (lease.expired) return `The control of ${owner} ran out: anybody may take it`;
    return before && before !== owner ? `Control went from ${before} to ${owner}` : `${owner} has control`;
  }

  #of(session: string): Remembered {
    let known = this.#sessions.get(session);
    if (!known) {
      if (this.#sessions.size >= SESSIONS_MAX) this.#sessions.clear();
      known = { command: null, owner: null };
      this.#sessions.set(session, known);
    }
    return known;
  }
}

/** How many events nobody will tell any more. */
export function gapText(lost: unknown): string {
  if (typeof lost !== "number") return "Events are missing here; nobody knows how many";
  return lost === 1 ? "1 event is missing here: it is not kept any more" : `${lost.toLocaleString()} events are missing here: they are not kept any more`;
}

function clientsText(data: Record<string, unknown>): string {
  const count = typeof data["count"] === "number" ? data["count"] : 0;
  if (count === 0) return "Nobody is attached";
  const clients = Array.isArray(data["clients"]) ? data["clients"].filter(isObject) : [];
  const names = clients.slice(0, NAMES_MAX).map((client) => `${text(client["name"]) || "unnamed"} (${KINDS[text(client["client_kind"])] ?? "client"})`);
  const rest = count > names.length ? ` and ${count - names.length} more` : "";
  return `${count} attached: ${names.join(", ")}${rest}`;
}

function statusText(data: Record<string, unknown>): string {
  if (data["status"] === "forgotten") return "The session was forgotten, with its journal";
  if (typeof data["status"] === "string") return `The session is ${text(data["status"])}`;
  return typeof data["title"] === "string" ? `The session was changed; it is called “${text(data["title"])}”` : "The session was changed";
}

function limitText(data: Record<string, unknown>): string {
  const resource = text(data["resource"]).replaceAll("_", " ") || "a resource";
  if (data["reached"] === false) return `The limit of ${resource} is no longer reached`;
  return `The limit of ${resource} is reached${data["text"] ? `: ${text(data["text"])}` : ""}`;
}

function approvalText(type: string, data: Record<string, unknown>): string {
  const action = text(data["action"]) || "something";
  if (type === "approval.requested") return `Asks to do ${action}${data["risk_level"] ? ` (risk: ${text(data["risk_level"])})` : ""}`;
  const status = text(data["status"]).replaceAll("_", " ");
  return `${action}: ${status}${data["decided_by"] ? ` by ${text(data["decided_by"])}` : ""}`;
}

function raw(data: unknown): string {
  const json = JSON.stringify(data);
  return plainText(json.length > RAW_CHARS_MAX ? `${json.slice(0, RAW_CHARS_MAX)}…` : json);
}

function list(value: unknown): string {
  return Array.isArray(value) ? value.slice(0, 12).map(text).join(", ") : "";
}

function text(value: unknown): string {
  return value === null || value === undefined ? "" : plainText(typeof value === "object" ? JSON.stringify(value) : String(value));
}

function number(value: unknown): string {
  return typeof value === "number" ? String(value) : "?";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
