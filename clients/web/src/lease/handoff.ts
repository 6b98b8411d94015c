/**
 * How control came and went in this tab: what it asked for, who took what from
 * it, and how much that cost of what was typed.
 */

import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { Tone } from "../ui/tone";
import { bytesText } from "../ui/words";
import { NO_WISH, toldOf, type Circumstance, type Wish } from "./change";
import type { LeaseState } from "./lease_view";

export interface Takeover {
  by: string;
  how: Circumstance;
  /** Milliseconds since 1970. */
  at: number;
  /** Bytes that were typed here and not sent, before this was read or after. */
  dropped: number;
}

/** A refusal is told before or after the lease moved: this long they wait for each other. */
const MEET_MS = 1_000;

export class Handoff {
  readonly #me: string;
  readonly #notify: (text: string, tone: Tone) => void;
  readonly #taken: Signal<Takeover | null> = signal(null);
  readonly #since: Signal<{ epoch: number; at: number } | null> = signal(null);
  #wish: Wish = NO_WISH;
  #mine = false;
  #unexplained = 0;
  #meeting: ReturnType<typeof setTimeout> | undefined;

  constructor(me: string, notify: (text: string, tone: Tone) => void) {
    this.#me = me;
    this.#notify = notify;
  }

  /** Who took control from this tab; until it is dismissed, or control is back. */
  get taken(): ReadonlySignal<Takeover | null> { return this.#taken; }
  /** Since when whoever has control has it, where this tab saw it begin or was told. */
  get since(): ReadonlySignal<{ epoch: number; at: number } | null> { return this.#since; }

  gives(clientId: string): void {
    this.#wish = { ...this.#wish, gaveTo: clientId };
  }

  releases(): void {
    this.#wish = { ...this.#wish, released: true };
  }

  dismiss(): void {
    this.#taken.value = null;
  }

  dispose(): void {
    clearTimeout(this.#meeting);
  }

  /** `at` is when `epoch` began, by the session's own record. */
  learned(epoch: number, at: number): void {
    this.#since.value = { epoch, at };
  }

  /** `met`: learned from a new connection rather than seen as it happened. */
  changed(before: LeaseState, after: LeaseState, wants: Pick<Wish, "claimed" | "asked">, met: boolean): void {
    if (before.epoch !== after.epoch && !met) this.#since.value = { epoch: after.epoch, at: Date.now() };
    this.#mine = after.owner === this.#me;
    const told = toldOf(before, after, this.#me, { ...this.#wish, ...wants }, met);
    if (before.owner !== after.owner) this.#wish = NO_WISH;
    if (this.#mine) this.#taken.value = null;
    if (told?.kind === "taken") {
      this.#taken.value = { by: told.by, how: told.how, at: Date.now(), dropped: this.#unexplained };
      this.#forget();
    } else if (told) {
      this.#notify(told.text, "info");
    }
  }

  /** Bytes that the worker refused because control had moved. False when nobody is known to have taken it. */
  dropped(bytes: number): boolean {
    if (this.#count(bytes)) return true;
    if (!this.#mine) return false;
    this.#unexplained += bytes;
    clearTimeout(this.#meeting);
    this.#meeting = setTimeout(() => {
      const lost = this.#unexplained;
      this.#forget();
      this.#notify(`${bytesText(lost)} were not typed: control had moved meanwhile.`, "warn");
    }, MEET_MS);
    return true;
  }

  /** Typed here after control was taken; true when the takeover says what became of it. */
  typedInVain(bytes: number): boolean {
    return this.#count(bytes);
  }

  #count(bytes: number): boolean {
    const taken = this.#taken.peek();
    if (!taken) return false;
    this.#taken.value = { ...taken, dropped: taken.dropped + bytes };
    return true;
  }

  #forget(): void {
    clearTimeout(this.#meeting);
    this.#unexplained = 0;
  }
}
