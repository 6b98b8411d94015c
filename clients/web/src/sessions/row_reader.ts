/**
 * When each row of the list is read: its details and its small picture.
 *
 * A row is read when it is on the screen and something happened in its session,
 * each at most every two seconds, and all of them together only so often, so
 * that a desk full of busy builds costs as much as a few. Nothing happens in a
 * session, or nobody looks: nothing is asked.
 */

export interface RowReaderOptions {
  /** Reads a row; a refusal is the reader's affair, not the schedule's. */
  read(id: string): Promise<void>;
  now?(): number;
}

/** A program answers a key in several writes: read what they come to. */
const SETTLE_MS = 300;
const EVERY_MS = 2_000;
const AT_ONCE_MAX = 3;
/** A screenful of rows at once, then so many a second. */
const BURST = 16;
const PER_S = 4;

interface Row {
  shown: boolean;
  /** When it may be read again; null: nothing happened since. */
  due: number | null;
  readAt: number;
}

export class RowReader {
  readonly #rows = new Map<string, Row>();
  readonly #reading = new Set<string>();
  readonly #now: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tokens = BURST;
  #countedAt: number;
  #asleep = false;

  constructor(private readonly options: RowReaderOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#countedAt = this.#now();
  }

  /** The row is on the screen; the first time it is read at once. */
  show(id: string): void {
    const row = this.#rows.get(id);
    if (row) row.shown = true;
    else this.#rows.set(id, { shown: true, due: this.#now(), readAt: -Infinity });
    this.#plan();
  }

  hide(id: string): void {
    const row = this.#rows.get(id);
    if (row) row.shown = false;
  }

  /** Something happened in the session. */
  touched(id: string): void {
    const row = this.#rows.get(id);
    // What was never shown is read when it is.
    if (!row) return;
    row.due ??= Math.max(this.#now() + SETTLE_MS, row.readAt + EVERY_MS);
    this.#plan();
  }

  /** All of them may have changed. */
  touchedAll(): void {
    for (const id of this.#rows.keys()) this.touched(id);
  }

  /** Only these sessions are left. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
  }

  clear(): void {
    this.#rows.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Nobody sees the page: nothing is read until somebody does. */
  sleep(asleep: boolean): void {
    this.#asleep = asleep;
    this.#plan();
  }

  #plan(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#asleep || this.#reading.size >= AT_ONCE_MAX) return;
    const next = this.#next();
    if (!next) return;
    this.#refill();
    const wait = Math.max(next.due - this.#now(), this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / PER_S) * 1000, 0);
    this.#timer = setTimeout(() => this.#read(next.id), wait);
  }

  /** Whoever waits longest. */
  #next(): { id: string; due: number } | null {
    let next: { id: string; due: number } | null = null;
    for (const [id, { shown, due }] of this.#rows) {
      if (!shown || due === null || this.#reading.has(id)) continue;
      if (next === null || due < next.due) next = { id, due };
    }
    return next;
  }

  #read(id: string): void {
    const row = this.#rows.get(id);
    // Forgotten, or scrolled away, while it waited.
    if (!row?.shown || row.due === null) return this.#plan();
    this.#refill();
    this.#tokens -= 1;
    row.due = null;
    row.readAt = this.#now();
    this.#reading.add(id);
    void this.options.read(id).catch(() => undefined).then(() => {
      this.#reading.delete(id);
      this.#plan();
    });
    this.#plan();
  }

  #refill(): void {
    const now = this.#now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#countedAt) / 1000) * PER_S);
    this.#countedAt = now;
  }
}
