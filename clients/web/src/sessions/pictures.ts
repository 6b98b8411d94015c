/** The newest screens of the rows that are shown, for their small pictures. */

import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { ScreenAnswer } from "./picture";

/** Some screenfuls of rows. */
const KEPT_MAX = 60;

export class Pictures {
  readonly #screens = new Map<string, Signal<ScreenAnswer | null>>();

  of(id: string): ReadonlySignal<ScreenAnswer | null> {
    return this.#slot(id);
  }

  put(id: string, screen: ScreenAnswer): void {
    const slot = this.#slot(id);
    slot.value = screen;
    // The newest last.
    this.#screens.delete(id);
    this.#screens.set(id, slot);
  }

  clear(): void {
    for (const slot of this.#screens.values()) slot.value = null;
    this.#screens.clear();
  }

  #slot(id: string): Signal<ScreenAnswer | null> {
    const known = this.#screens.get(id);
    if (known) return known;
    const slot = signal<ScreenAnswer | null>(null);
    this.#screens.set(id, slot);
    for (const oldest of this.#screens.keys()) if (this.#screens.size > KEPT_MAX) this.#screens.delete(oldest);
    return slot;
  }
}
