/**
 * Ctrl and Alt as keys of the page: a tap holds one for the next key, a second
 * tap right after holds it until it is tapped again.
 */

import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import { modified } from "./keys";

export type Modifier = "ctrl" | "alt";
export type Hold = "off" | "once" | "locked";

/** Two taps closer together than this lock. */
const DOUBLE_TAP_MS = 400;

export class Modifiers {
  readonly #holds: Readonly<Record<Modifier, Signal<Hold>>> = { ctrl: signal<Hold>("off"), alt: signal<Hold>("off") };
  #tapped: { modifier: Modifier; at: number } | null = null;

  get ctrl(): ReadonlySignal<Hold> { return this.#holds.ctrl; }
  get alt(): ReadonlySignal<Hold> { return this.#holds.alt; }

  get held(): boolean {
    return this.#holds.ctrl.peek() !== "off" || this.#holds.alt.peek() !== "off";
  }

  tap(modifier: Modifier, now: number): void {
    const hold = this.#holds[modifier];
    const again = this.#tapped?.modifier === modifier && now - this.#tapped.at < DOUBLE_TAP_MS;
    if (hold.peek() === "off") hold.value = "once";
    else hold.value = hold.peek() === "once" && again ? "locked" : "off";
    this.#tapped = { modifier, at: now };
  }

  /** What a key sends together with those that are held; they are let go unless they are locked. */
  applyTo(data: string): string {
    const result = modified(data, { ctrl: this.ctrl.peek() !== "off", alt: this.alt.peek() !== "off" });
    for (const hold of Object.values(this.#holds)) if (hold.peek() === "once") hold.value = "off";
    this.#tapped = null;
    return result;
  }
}
