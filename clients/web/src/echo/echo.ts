/**
 * Predictive echo: keys are shown before the answer comes, where the answer takes long.
 *
 * It listens to what is typed, acknowledged and parsed, and draws over the terminal. What it knows is in `guesses.ts`.
 */

import type { Terminal } from "@xterm/xterm";
import { Guesses, type Place, type View } from "./guesses";
import { keyOf } from "./keys";
import { EchoOverlay } from "./overlay";
import type { EchoPolicy } from "../settings/settings";

/** Longer than this is felt; and it must be clearly shorter again before it stops. */
const SLOW_MS = 60;
const FAST_MS = 45;

const decoder = new TextDecoder();

export class Echo {
  readonly #term: Terminal;
  readonly #overlay: EchoOverlay;
  readonly #guesses = new Guesses();
  /** The newest measure of the way to the program and back; null before there is one. */
  readonly #roundTrip: () => number | null;
  #policy: EchoPolicy;
  #slow = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(term: Terminal, policy: EchoPolicy, roundTrip: () => number | null) {
    this.#term = term;
    this.#policy = policy;
    this.#roundTrip = roundTrip;
    this.#overlay = new EchoOverlay(term);
    // What is scrolled away or drawn at another size takes its guesses along.
    term.onRender(() => this.#draw());
  }

  configure(policy: EchoPolicy): void {
    this.#policy = policy;
    if (policy === "never") this.#guesses.forget();
    this.#draw();
  }

  /** The owner's key went out as `seq`. */
  typed(bytes: Uint8Array, seq: number): void {
    if (this.#policy === "never") return;
    this.#slow = isSlow(this.#roundTrip(), this.#slow);
    this.#guesses.typed(keyOf(decoder.decode(bytes)), seq, this.#view(), performance.now());
    this.#settle();
  }

  acknowledged(seq: number): void {
    this.#guesses.acknowledged(seq, performance.now());
    this.#settle();
  }

  /** The terminal has parsed output. */
  parsed(): void {
    this.#guesses.output(this.#view(), performance.now());
    this.#settle();
  }

  /** Another size, another owner, another connection, another screen. */
  forget(): void {
    this.#guesses.forget();
    this.#settle();
  }

  restart(): void {
    this.#guesses.restart();
    this.#settle();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#overlay.dispose();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    this.#guesses.expire(now);
    const { deadline } = this.#guesses;
    if (deadline !== null) this.#timer = setTimeout(() => this.#settle(), Math.max(0, deadline - now) + 1);
    this.#draw();
  }

  #draw(): void {
    const may = this.#policy === "always" || (this.#policy === "auto" && this.#slow);
    this.#overlay.draw(may ? this.#guesses.shown(this.#view()) : null);
  }

  #view(): View {
    const { buffer, cols } = this.#term;
    const { active } = buffer;
    return {
      cursor: { row: active.baseY + active.cursorY, col: active.cursorX },
      cols,
      alternate: active.type === "alternate",
      charAt: ({ row, col }: Place) => {
        const cell = active.getLine(row)?.getCell(col);
        return cell?.getWidth() === 0 ? "" : cell?.getChars() || " ";
      },
    };
  }
}

/** Whether a round trip is long enough to be felt, once it was or was not. */
export function isSlow(ms: number | null, was: boolean): boolean {
  if (ms === null) return was;
  return was ? ms > FAST_MS : ms > SLOW_MS;
}
