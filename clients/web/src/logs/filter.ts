/** Which events are shown. Kept in this browser. */

import { readStored, writeStored } from "../access/identity";
import { GROUPS, type Group, type LogEntry } from "./entry";

export interface LogFilter {
  /** All sessions, the one that is open, or one by its id. */
  session: string;
  /** Groups that are not shown. */
  off: readonly Group[];
  text: string;
}

export const ALL = "all";
export const THIS = "this";
export const EVERYTHING: LogFilter = { session: ALL, off: [], text: "" };

const KEY = "baton.logs.filter";
const TEXT_CHARS_MAX = 200;

/** Whether an entry is of what is looked for; `of the shown groups` is asked apart, since the others are counted too. */
export function matcher({ session, text }: LogFilter, open: string | null): (entry: LogEntry) => boolean {
  const wanted = session === THIS ? open : session;
  const needle = text.trim().toLowerCase();
  return (entry) => {
    // What is missing is missing, whatever is looked for.
    if (entry.group === null) return true;
    if (session !== ALL && entry.session !== wanted) return false;
    return needle === "" || entry.words.toLowerCase().includes(needle) || entry.json.toLowerCase().includes(needle);
  };
}

export function isShown(entry: LogEntry, { off }: LogFilter): boolean {
  return entry.group === null || !off.includes(entry.group);
}

export function isNarrowed({ session, off, text }: LogFilter): boolean {
  return session !== ALL || off.length > 0 || text.trim() !== "";
}

export function loadFilter(): LogFilter {
  try {
    const stored: unknown = JSON.parse(readStored(KEY) ?? "{}");
    const { session, off, text } = (typeof stored === "object" && stored !== null ? stored : {}) as Record<string, unknown>;
    return {
      session: typeof session === "string" ? session : ALL,
      off: Array.isArray(off) ? off.filter((name): name is Group => typeof name === "string" && Object.hasOwn(GROUPS, name)) : [],
      text: typeof text === "string" ? text.slice(0, TEXT_CHARS_MAX) : "",
    };
  } catch {
    return EVERYTHING;
  }
}

export function saveFilter(filter: LogFilter): void {
  writeStored(KEY, JSON.stringify(filter));
}
