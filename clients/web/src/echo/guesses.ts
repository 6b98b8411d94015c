/**
 * What the screen will show of keys that are still on their way, and when that may be said.
 *
 *     closed --a key, with nothing in flight--> tentative --one letter comes back--> confident
 *     any --Enter, Escape, control, an unknown place--> closed        (what is shown stays until it is answered)
 *     any --the screen says otherwise, or nothing in time--> closed   (what is shown goes at once)
 *
 * A guess is never shown before the program has echoed a letter of the same run of typing, so a line without echo, as a password
 * is, shows nothing. A run begins only where the cursor's place is certain: when all that was typed before is acknowledged and had
 * time to be answered. Guesses are made of the screen, not of the bytes: they hold when the cursor stands where they put it and the
 * cells say what they said, by whatever sequences that came about.
 *
 * Pure: time is an argument, and the screen is asked for cells.
 */

import type { Key } from "./keys";

/** A cell's place; rows are counted from the first that is kept. */
export interface Place {
  row: number;
  col: number;
}

/** The part of a screen that guesses are made of. */
export interface View {
  readonly cursor: Place;
  readonly cols: number;
  readonly alternate: boolean;
  /** What stands in a cell: `" "` where it is blank, `""` in the right half of a wide character. */
  charAt(place: Place): string;
}

export interface GuessedCell extends Place {
  char: string;
  width: 1 | 2;
}

interface Guess {
  seq: number;
  cell: GuessedCell | null;
  /** Where the cursor is afterwards. */
  after: Place;
  /** Its coming true says that the program echoes. */
  telling: boolean;
  acknowledgedAt: number | null;
}

/** The program had the key this long and did not show it: the guess is wrong. */
const ANSWER_MS = 300;
/** After the last acknowledgement, time for the answer to arrive beside it. */
const QUIET_MS = 100;
/** A redraw may come in two parts; what is doubted is hidden meanwhile. */
const DOUBT_MS = 50;
const GUESSES_MAX = 256;

export class Guesses {
  #guesses: Guess[] = [];
  /** Where the cursor was before the first of them. */
  #base: Place = { row: 0, col: 0 };
  /** The columns that were typed in this run: what is left of it is not ours to move in. */
  #from = 0;
  #to = 0;
  #closed = true;
  #confident = false;
  #alternate = false;
  #doubtedAt: number | null = null;
  #lastSeq = 0;
  #acknowledged = 0;
  #acknowledgedAt = -Infinity;
  /** Nothing is guessed until everything up to here is answered. */
  #blindUntil = 0;

  /** A key went out as `seq`. */
  typed(key: Key, seq: number, view: View, now: number): void {
    this.#lastSeq = seq;
    if (key.kind === "other") return this.#close();
    if (this.#closed && !this.#begin(seq, view, now)) return;
    if (this.#guesses.length >= GUESSES_MAX) return this.#close();
    if (key.kind === "text") {
      for (const { char, width } of key.chars) if (!this.#guessText(char, width, seq, view)) return this.#close();
    } else if (!(key.kind === "erase" ? this.#guessErase(seq, view) : this.#guessMove(key.kind === "left" ? -1 : 1, seq, view))) {
      this.#close();
    }
  }

  /** The program was given everything up to `seq`. */
  acknowledged(seq: number, now: number): void {
    if (seq <= this.#acknowledged) return;
    this.#acknowledged = seq;
    this.#acknowledgedAt = now;
    for (const guess of this.#guesses) if (guess.seq <= seq) guess.acknowledgedAt ??= now;
  }

  /** Output was parsed: what of the guesses is true? */
  output(view: View, now: number): void {
    if (view.alternate !== this.#alternate) {
      this.#alternate = view.alternate;
      return this.forget();
    }
    const kept = this.#heldBy(view);
    if (kept === null) {
      if (this.#guesses.length === 0) this.#close();
      else this.#doubtedAt ??= now;
      return;
    }
    this.#doubtedAt = null;
    const confirmed = this.#guesses.splice(0, kept);
    this.#base = view.cursor;
    if (!this.#closed && confirmed.some(({ telling }) => telling)) this.#confident = true;
  }

  /** Takes back what was not answered in time. */
  expire(now: number): void {
    const due = this.#deadline();
    if (due !== null && now >= due) this.forget();
  }

  /** When `expire` has something to do at the earliest; null when nothing waits. */
  get deadline(): number | null {
    return this.#deadline();
  }

  /** Takes everything back: the screen is another, or somebody else types. */
  forget(): void {
    this.#guesses = [];
    this.#confident = false;
    this.#doubtedAt = null;
    this.#close();
  }

  /** Another program runs: its input is counted from one again. */
  restart(): void {
    this.#lastSeq = this.#acknowledged = 0;
    this.forget();
  }

  /** What may be shown over the screen, and where the cursor is then; null when nothing may. */
  shown(view: View): { cells: GuessedCell[]; cursor: Place } | null {
    const last = this.#guesses.at(-1);
    if (!last || !this.#confident || this.#doubtedAt !== null) return null;
    const cells = [...this.#cellsAfter(this.#guesses.length).values()].filter((cell) => view.charAt(cell) !== cell.char);
    return { cells, cursor: last.after };
  }

  /** A new run of typing, if the cursor's place is certain. */
  #begin(seq: number, view: View, now: number): boolean {
    const answered = this.#acknowledged >= this.#blindUntil && now >= this.#acknowledgedAt + QUIET_MS;
    if (!answered || this.#guesses.length > 0) {
      this.#blindUntil = seq;
      return false;
    }
    this.#closed = this.#confident = false;
    this.#alternate = view.alternate;
    this.#base = view.cursor;
    this.#from = this.#to = view.cursor.col;
    return true;
  }

  #close(): void {
    this.#closed = true;
    this.#blindUntil = this.#lastSeq;
  }

  get #cursor(): Place {
    return this.#guesses.at(-1)?.after ?? this.#base;
  }

  #guessText(char: string, width: 1 | 2, seq: number, view: View): boolean {
    const at = this.#cursor;
    // In the last column it is the program's to say where the line goes on.
    if (at.col + width >= view.cols) return false;
    if (!this.#blankFrom(at, at.col + width, view)) return false;
    this.#push(seq, { ...at, char, width }, { row: at.row, col: at.col + width }, char !== " ");
    this.#to = Math.max(this.#to, at.col + width);
    return true;
  }

  /** Only at the end of what was typed: elsewhere the rest of the line moves. */
  #guessErase(seq: number, view: View): boolean {
    const at = this.#cursor;
    if (at.col <= this.#from || !this.#blankFrom(at, at.col + 1, view)) return false;
    const width = this.#charAt({ row: at.row, col: at.col - 1 }, view) === "" ? 2 : 1;
    const place = { row: at.row, col: at.col - width };
    this.#push(seq, { ...place, char: " ", width }, place, false);
    this.#to -= width;
    return true;
  }

  #guessMove(step: -1 | 1, seq: number, view: View): boolean {
    const at = this.#cursor;
    const to = { row: at.row, col: at.col + step };
    const passed = this.#charAt(step < 0 ? to : at, view);
    const wide = passed === "" || this.#charAt({ row: at.row, col: at.col + 1 }, view) === "";
    if (to.col < this.#from || to.col > this.#to || wide) return false;
    this.#push(seq, null, to, false);
    return true;
  }

  /** Whether nothing stands at `at` and in the rest of what was typed: what stands there would move. */
  #blankFrom(at: Place, end: number, view: View): boolean {
    for (let col = at.col; col < Math.max(end, this.#to); col++) if (this.#charAt({ row: at.row, col }, view) !== " ") return false;
    return true;
  }

  #push(seq: number, cell: GuessedCell | null, after: Place, telling: boolean): void {
    this.#guesses.push({ seq, cell, after, telling, acknowledgedAt: null });
  }

  /** What a cell says once all guesses are true. */
  #charAt(place: Place, view: View): string {
    for (let at = this.#guesses.length - 1; at >= 0; at--) {
      const cell = this.#guesses[at]?.cell;
      if (cell?.row !== place.row || place.col < cell.col || place.col >= cell.col + cell.width) continue;
      if (cell.char === " ") return " ";
      return place.col === cell.col ? cell.char : "";
    }
    return view.charAt(place);
  }

  /** How many of the guesses the screen bears out, as many as possible; null when it contradicts all of them. */
  #heldBy(view: View): number | null {
    for (let count = this.#guesses.length; count >= 0; count--) {
      const { row, col } = this.#guesses[count - 1]?.after ?? this.#base;
      if (row !== view.cursor.row || col !== view.cursor.col) continue;
      if ([...this.#cellsAfter(count).values()].every((cell) => view.charAt(cell) === cell.char)) return count;
    }
    return null;
  }

  /** The cells that the first `count` guesses leave. */
  #cellsAfter(count: number): Map<string, GuessedCell> {
    const cells = new Map<string, GuessedCell>();
    for (const { cell } of this.#guesses.slice(0, count)) if (cell) cells.set(`${cell.row}:${cell.col}`, cell);
    return cells;
  }

  #deadline(): number | null {
    const acknowledgedAt = this.#guesses[0]?.acknowledgedAt ?? null;
    const answer = acknowledgedAt === null ? Infinity : acknowledgedAt + ANSWER_MS;
    const doubt = this.#doubtedAt === null ? Infinity : this.#doubtedAt + DOUBT_MS;
    const due = Math.min(answer, doubt);
    return due === Infinity ? null : due;
  }
}
