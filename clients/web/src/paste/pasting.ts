/**
 * A paste on its way: asked about, cut into pieces that wait for those before them, and stopped on demand.
 *
 * Only a few pieces are ever in flight, so that a paste is no reason for a program to be cut off from its input.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { inOneLine, pasteBytes, questionOf, type PasteQuestion } from "./judge";

const PIECE_BYTES = 16 * 1024;
const IN_FLIGHT_BYTES = 32 * 1024;
/** Larger ones belong into a file. */
export const PASTE_CHARS_MAX = 8 * 1024 * 1024;

export interface PasteWay {
  /** Whether the program asked to have pastes marked. */
  bracketed(): boolean;
  /** Whether somebody wants to be asked. */
  guarded(): boolean;
  /** Whether typing reaches the program now, or claims a free lease. Says so when not. */
  mayType(bytes: number): boolean;
  /** Whether the program is ours to type into. */
  mine(): boolean;
  type(bytes: Uint8Array): void;
  /** Bytes that are typed and not acknowledged. */
  unsent(): number;
  notify(text: string): void;
}

export interface PasteProgress {
  done: number;
  total: number;
}

export class Pasting {
  readonly #way: PasteWay;
  readonly #question = signal<PasteQuestion | null>(null);
  readonly #progress = signal<PasteProgress | null>(null);
  #bytes: Uint8Array | null = null;
  #at = 0;
  #bracketed = false;

  constructor(way: PasteWay) {
    this.#way = way;
  }

  /** What somebody has to look at first. */
  get question(): ReadonlySignal<PasteQuestion | null> { return this.#question; }
  get progress(): ReadonlySignal<PasteProgress | null> { return this.#progress; }

  paste(text: string): void {
    if (text === "" || !this.#way.mayType(text.length)) return;
    if (this.#bytes) return this.#way.notify("A paste is under way. Wait for it, or cancel it.");
    if (text.length > PASTE_CHARS_MAX) {
      return this.#way.notify("More than 8 MiB cannot be pasted. Put it into a file and give the program its name.");
    }
    const question = questionOf(text, this.#way.bracketed());
    if (question && this.#way.guarded()) this.#question.value = question;
    else this.#start(text);
  }

  answer(how: "paste" | "one line" | "cancel"): void {
    const question = this.#question.peek();
    this.#question.value = null;
    if (!question || how === "cancel" || !this.#way.mayType(question.text.length)) return;
    if (how === "one line") return this.#start(inOneLine(question.text));
    const now = questionOf(question.text, this.#way.bracketed());
    // Meanwhile another program may read: one that runs each line is another question.
    if (now?.reasons.some((reason) => !question.reasons.includes(reason))) this.#question.value = now;
    else this.#start(question.text);
  }

  /** Something was acknowledged, or control is ours now. */
  go(): void {
    const { mine, unsent, type } = this.#way;
    while (this.#bytes && this.#at < this.#bytes.length && mine() && unsent() < IN_FLIGHT_BYTES) {
      const end = characterEnd(this.#bytes, this.#at + PIECE_BYTES);
      type(this.#bytes.subarray(this.#at, end));
      this.#at = end;
    }
    this.#tell();
  }

  /** Stops where it is. A program that had its beginning marked is told the end. */
  cancel(): void {
    if (!this.#bytes) return;
    if (this.#bracketed && this.#at < this.#bytes.length && this.#way.mine()) this.#way.type(new TextEncoder().encode("\x1b[201~"));
    this.#way.notify("The rest of the paste was not typed.");
    this.#end();
  }

  /** Nothing more can be typed: control is somebody else's, or what was typed was refused. */
  lost(): void {
    if (this.#bytes && this.#at < this.#bytes.length) this.#way.notify("The rest of the paste was not typed.");
    this.#end();
  }

  #start(text: string): void {
    this.#bracketed = this.#way.bracketed();
    const bytes = pasteBytes(text, this.#bracketed);
    if (bytes.length <= PIECE_BYTES) return this.#way.type(bytes);
    this.#bytes = bytes;
    // The first piece claims a free lease, as a key does; the others wait for that.
    this.#at = characterEnd(bytes, PIECE_BYTES);
    this.#way.type(bytes.subarray(0, this.#at));
    this.go();
  }

  #tell(): void {
    if (!this.#bytes) return;
    const done = Math.max(0, this.#at - this.#way.unsent());
    if (done >= this.#bytes.length) this.#end();
    else this.#progress.value = { done, total: this.#bytes.length };
  }

  #end(): void {
    this.#bytes = null;
    this.#at = 0;
    this.#progress.value = null;
  }
}

/** The end of the character that `at` stands in, at most the end of all. */
function characterEnd(bytes: Uint8Array, at: number): number {
  let end = Math.min(at, bytes.length);
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end += 1;
  return end;
}
