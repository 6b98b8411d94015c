/** What would be done, read from a request's payload: any of it may be anything, for an agent wrote it. */

import type { Approval } from "../api/approvals";
import { base64Of, bytesOf, typedBytes, typedText } from "./typed_text";

/** What a person reads first. The whole payload stands below it always. */
export type Deed =
  | { kind: "command"; line: string }
  | { kind: "typed"; text: string }
  /** Nobody may read it: it goes to a prompt for a password. */
  | { kind: "secret"; bytes: number }
  | { kind: "program"; words: string[] | null; wants: [string, string][] }
  | { kind: "control"; force: boolean }
  | { kind: "page"; url: string }
  | { kind: "file"; path: string; before: string; after: string }
  | { kind: "other" };

export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function deedOf(action: string | null | undefined, payload: unknown): Deed {
  const fields = fieldsOf(payload);
  const { command, data_b64, secret, bytes, force, url, path } = fields;
  if (secret === true) return { kind: "secret", bytes: typeof bytes === "number" ? bytes : 0 };
  if (action === "terminal.exec" && typeof command === "string") return { kind: "command", line: command };
  if (action === "terminal.input" && typeof data_b64 === "string") {
    const text = typedOf(data_b64);
    return text === null ? { kind: "other" } : { kind: "typed", text };
  }
  if (action === "process.spawn" || action === "session.unsandboxed") return { kind: "program", words: texts(command), wants: wantsOf(fields) };
  if (action === "lease.take") return { kind: "control", force: force === true };
  if (action === "browser.navigate" && typeof url === "string") return { kind: "page", url };
  const [before, after] = [fields["old_text"], fields["new_text"]];
  if (typeof path === "string" && typeof before === "string" && typeof after === "string") return { kind: "file", path, before, after };
  return { kind: "other" };
}

/** In one line, for a list. */
export function deedLine(deed: Deed): string {
  switch (deed.kind) {
    case "command":
      return deed.line;
    case "typed":
      return deed.text;
    case "secret":
      return `${deed.bytes} bytes for a password prompt`;
    case "program":
      return deed.words ? commandLine(deed.words) : "the login shell";
    case "control":
      return deed.force ? "even if another agent has it" : "";
    case "page":
      return deed.url;
    case "file":
      return deed.path;
    case "other":
      return "";
  }
}

/** Words as a shell would be given them, so that one with a blank in it is seen to be one. */
export function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\p{L}\p{N}_@%+=:,./-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

/** The whole of it, keys in order, so that two of them can be held against each other. */
export function written(payload: unknown): string {
  return JSON.stringify(payload, sorted, 2) ?? "null";
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What a person may make another of, as text; null when there is nothing to edit. */
export interface Draft {
  kind: "line" | "typed" | "json";
  text: string;
}

export function draftOf(approval: Pick<Approval, "action" | "payload">): Draft | null {
  const deed = deedOf(approval.action, approval.payload);
  if (deed.kind === "secret" || deed.kind === "control") return null;
  if (deed.kind === "command") return { kind: "line", text: deed.line };
  if (deed.kind === "typed") return { kind: "typed", text: deed.text };
  return { kind: "json", text: written(approval.payload) };
}

/** The payload with the person's text in it; throws with what is wrong with the text. */
export function payloadWith({ kind, text }: Draft, payload: unknown): unknown {
  const fields = fieldsOf(payload);
  if (text.trim() === "") throw new Error("Nothing is left of it: deny it instead.");
  if (kind === "line") return { ...fields, command: text };
  if (kind === "typed") {
    const { shown: _, ...rest } = fields;
    return { ...rest, data_b64: base64Of(typedBytes(text)) };
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Error(`This is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function typedOf(base64: string): string | null {
  try {
    return typedText(bytesOf(base64));
  } catch {
    return null;
  }
}

/** What a new session is to have, a line each. */
function wantsOf(fields: Fields): [string, string][] {
  const wants: [string, string][] = [];
  const add = (name: string, value: string | null): void => void (value !== null && wants.push([name, value]));
  const { sandbox } = fields;
  add("Confined", sandbox === "host" ? "no: it may do what you may" : typeof sandbox === "string" ? sandbox : null);
  for (const grant of Array.isArray(fields["grants"]) ? fields["grants"] : []) add("Folder", grantText(fieldsOf(grant)));
  for (const host of texts(fields["allow_hosts"]) ?? []) add("Network", host);
  for (const [name, value] of Object.entries(fieldsOf(fields["env"]))) add("Environment", `${name}=${String(value)}`);
  const again = texts(fields["resume_cmd"]);
  add("Started again", again && commandLine(again));
  if (fields["ssh_agent"] === true) add("Keys", "those of your ssh agent");
  return wants;
}

function grantText({ root_path, allow_write, allow_create, allow_delete }: Fields): string {
  const rights = [allow_write === true && "change", allow_create === true && "create", allow_delete === true && "delete"].filter((right) => right !== false);
  return `${String(root_path)} (${["read", ...rights].join(", ")})`;
}

function texts(value: unknown): string[] | null {
  return Array.isArray(value) && value.every((word) => typeof word === "string") ? value : null;
}
