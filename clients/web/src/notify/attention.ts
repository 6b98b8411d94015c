/**
 * Which sessions want somebody: marks of what happened while nobody looked, and
 * approvals that wait.
 *
 * The marks outlive the page: what it heard, and what was looked at, is kept in
 * the browser, and events of the time between are asked for once.
 */

import { computed, signal, type ReadonlySignal } from "@preact/signals";
import { readStored, writeStored } from "../access/identity";
import type { SessionRows } from "../api/session_rows";
import type { SessionEvent } from "../api/protocol";
import { MarkBook, markOf, storedMarks, type AttentionMark, type SessionMarks } from "./marks";

const KEY = "baton.attention";
const SAVE_MS = 500;
/** Of a long absence this many events are gone through; what they leave out is in the session's own list. */
const CATCH_UP_MAX = 20_000;
/** Nothing more comes: what was missed is heard. */
const QUIET_MS = 2_000;

export interface AttentionOptions {
  rows: Pick<SessionRows, "eventsAfter">;
  /** How many approvals wait, by session. */
  waiting: ReadonlySignal<ReadonlyMap<string, number>>;
  /** How long a command takes to be a long one. */
  long_ms(): number;
  /** A mark that nobody has seen yet. */
  raised(id: string, mark: AttentionMark): void;
}

export class Attention {
  readonly #options: AttentionOptions;
  readonly #book = new MarkBook(storedMarks(readStored(KEY)));
  readonly #marks = signal(this.#book.marks);
  #looking: string | null = null;
  #catching: { end(): void } | null = null;
  /** What the feed told last, and first since it is open. While the time before is gone through, less is said to be heard. */
  #newest = 0;
  #liveFrom: number | null = null;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #saving: ReturnType<typeof setTimeout> | undefined;

  /** The sessions that want somebody. */
  readonly wanted = computed<ReadonlySet<string>>(() => new Set([...this.#marks.value.keys(), ...this.#options.waiting.value.keys()]));

  constructor(options: AttentionOptions) {
    this.#options = options;
  }

  /** What a session has; reads signals. */
  marksOf(id: string): SessionMarks | undefined {
    return this.#marks.value.get(id);
  }

  /** How many approvals wait in it; reads signals. */
  pendingIn(id: string): number {
    return this.#options.waiting.value.get(id) ?? 0;
  }

  isSeen(id: string, seq: number): boolean {
    return this.#book.isSeen(id, seq);
  }

  /** What somebody looks at from now on; null: at nothing of it. */
  look(id: string | null): void {
    this.#looking = id;
    if (id !== null && this.#book.look(id, this.#now)) this.#changed();
  }

  event(event: Partial<SessionEvent>): void {
    this.#newest = Math.max(this.#newest, event.seq ?? 0);
    this.#liveFrom ??= event.seq ?? null;
    if (!this.#catching) this.#book.hear(this.#newest);
    this.#take(event);
  }

  /** The feed is new: what it did not tell is asked for. */
  missed(): void {
    this.#catching?.end();
    this.#catching = null;
    this.#liveFrom = null;
    if (this.#book.heard === 0) return;
    let count = 0;
    this.#catching = this.#options.rows.eventsAfter(this.#book.heard, (event) => {
      const { seq = 0 } = event;
      this.#book.hear(seq);
      this.#take(event);
      count += 1;
      if (count >= CATCH_UP_MAX || (this.#liveFrom !== null && seq >= this.#liveFrom)) this.#endCatchUp();
      else this.#untilQuiet();
    });
    this.#untilQuiet();
  }

  /** These sessions are all there are. */
  keep(ids: ReadonlySet<string>): void {
    if (this.#book.keep(ids)) this.#changed();
  }

  /** Another tab of this browser wrote. */
  stored(text: string | null): void {
    const other = storedMarks(text);
    if (!other) return;
    this.#book.merge(other);
    if (this.#looking !== null) this.#book.look(this.#looking, this.#now);
    this.#marks.value = this.#book.marks;
  }

  follow(): void {
    addEventListener("storage", ({ key, newValue }) => key === KEY && this.stored(newValue));
    addEventListener("pagehide", () => this.#save());
  }

  stop(): void {
    this.#endCatchUp();
  }

  #take(event: Partial<SessionEvent>): void {
    const { scope_id: id } = event;
    const mark = id ? markOf(event, this.#options.long_ms()) : null;
    if (id && mark && id !== this.#looking && this.#book.take(id, mark)) {
      this.#changed();
      this.#options.raised(id, mark);
    } else if (id && id === this.#looking) {
      this.#book.look(id, this.#now);
      // Other tabs hear of it before they tell of what was seen here.
      if (mark) this.#save();
    }
    this.#saveSoon();
  }

  #changed(): void {
    this.#marks.value = this.#book.marks;
    this.#saveSoon();
  }

  #saveSoon(): void {
    this.#saving ??= setTimeout(() => this.#save(), SAVE_MS);
  }

  #save(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    // Another tab may have looked meanwhile.
    const other = storedMarks(readStored(KEY));
    if (other) this.#book.merge(other);
    writeStored(KEY, JSON.stringify(this.#book.stored()));
  }

  #untilQuiet(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#endCatchUp(), QUIET_MS);
  }

  #endCatchUp(): void {
    clearTimeout(this.#quiet);
    this.#catching?.end();
    this.#catching = null;
    this.#book.hear(this.#newest);
  }

  get #now(): number {
    return Math.max(this.#newest, this.#book.heard);
  }
}
