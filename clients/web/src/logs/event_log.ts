/**
 * The events this page has, in their order, each once.
 *
 * What came twice is known by its number. The page keeps `ENTRIES_MAX` events, as many as the bridge does, and no more than
 * `CHARS_MAX` of text: with more, the oldest tenth is let go, and the list says so where it begins.
 */

import { entryOf, type LogEntry } from "./entry";
import { Narrator } from "./narrator";

export const ENTRIES_MAX = 100_000;
export const CHARS_MAX = 48 * 1024 * 1024;

/** What is before the first entry. */
export type Before = "unknown" | "nothing" | "let_go";

export type Change =
  | { kind: "appended"; entries: readonly LogEntry[] }
  | { kind: "prepended"; entries: readonly LogEntry[] }
  /** Everything before this number is gone. */
  | { kind: "dropped"; before: number }
  | { kind: "reset" };

export interface Bounds {
  entries: number;
  chars: number;
}

export class EventLog {
  readonly #bounds: Bounds;
  #entries: LogEntry[] = [];
  #chars = 0;
  #newest = 0;
  #narrator = new Narrator();
  /** What is before the first entry. */
  before: Before = "unknown";

  constructor(bounds: Bounds = { entries: ENTRIES_MAX, chars: CHARS_MAX }) {
    this.#bounds = bounds;
  }

  get entries(): readonly LogEntry[] {
    return this.#entries;
  }

  /** The number to go on after: everything up to it was heard, or is known to be missing. */
  get newest(): number {
    return this.#newest;
  }

  get hasRoom(): boolean {
    return this.#entries.length < this.#bounds.entries && this.#chars < this.#bounds.chars;
  }

  /** Begins after this number without having heard what was before. */
  startAfter(seq: number): void {
    if (this.#entries.length === 0) this.#newest = seq;
  }

  /** Messages as they came, `first` being whether the first of them is the first of its connection. */
  append(messages: readonly string[], first: boolean): Change[] {
    const changes: Change[] = [];
    const added: LogEntry[] = [];
    messages.forEach((json, at) => {
      const entry = entryOf(json, this.#narrator);
      if (entry === null) return;
      if (entry.group === null && first && at === 0) {
        if (entry.seq < this.#newest && lostOf(entry) === null) {
          // The place is none of this log's: it is another log, or an older copy. What is here is not to be mixed with it.
          this.clear();
          this.before = "nothing";
          changes.push({ kind: "reset" });
        }
        // It stands before the next event, and may have the number of one that was heard.
        this.#newest = Math.max(this.#newest, entry.seq);
      } else if (entry.seq <= this.#newest) {
        return;
      }
      this.#newest = entry.seq > this.#newest ? entry.seq : this.#newest;
      this.#keep(entry);
      added.push(entry);
    });
    if (added.length > 0) changes.push({ kind: "appended", entries: added });
    const dropped = this.#letGo();
    if (dropped !== null) changes.push({ kind: "dropped", before: dropped });
    return changes;
  }

  /** Older messages, oldest first; `whole` says that nothing older is kept anywhere. */
  prepend(messages: readonly string[], whole: boolean): Change[] {
    const first = this.#entries[0]?.seq ?? Infinity;
    const narrator = new Narrator();
    let older = messages.map((json) => entryOf(json, narrator)).filter((entry): entry is LogEntry => entry !== null && entry.seq < first);
    const room = this.#bounds.entries - this.#entries.length;
    this.before = whole ? "nothing" : "unknown";
    if (older.length > room) {
      older = older.slice(older.length - Math.max(0, room));
      this.before = "let_go";
    }
    this.#entries = older.concat(this.#entries);
    this.#chars += older.reduce((sum, { json }) => sum + json.length, 0);
    return older.length > 0 ? [{ kind: "prepended", entries: older }] : [];
  }

  clear(): void {
    this.#entries = [];
    this.#chars = 0;
    this.#newest = 0;
    this.#narrator = new Narrator();
    this.before = "unknown";
  }

  #keep(entry: LogEntry): void {
    this.#entries.push(entry);
    this.#chars += entry.json.length;
  }

  /** The number before which everything was let go, if something was. */
  #letGo(): number | null {
    const { entries, chars } = this.#bounds;
    if (this.#entries.length <= entries && this.#chars <= chars) return null;
    // A tenth at once, so that it is seldom.
    const [entriesLeft, charsLeft] = [Math.ceil(entries * 0.9), chars * 0.9];
    let count = 0;
    while (this.#entries.length - count > 1 && (this.#entries.length - count > entriesLeft || this.#chars > charsLeft)) {
      this.#chars -= this.#entries[count]?.json.length ?? 0;
      count += 1;
    }
    this.#entries = this.#entries.slice(count);
    this.before = "let_go";
    return this.#entries[0]?.seq ?? null;
  }
}

/** How many events a gap stands for; null when nobody knows. */
export function lostOf(entry: LogEntry): number | null {
  const { data } = JSON.parse(entry.json) as { data?: { lost?: unknown } };
  return typeof data?.lost === "number" ? data.lost : null;
}
