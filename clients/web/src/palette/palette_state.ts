/** Whether the palette is open, and what was chosen in it lately; that stays in this browser. */

import { signal } from "@preact/signals";
import { readStored, writeStored } from "../access/identity";

const KEY = "baton.palette";
const RECENT_MAX = 12;

export class PaletteState {
  readonly isOpen = signal(false);
  #recent = recentFrom(readStored(KEY));

  open(): void {
    this.isOpen.value = true;
  }

  close(): void {
    this.isOpen.value = false;
  }

  /** Keys of what was chosen, the newest first. */
  get recent(): readonly string[] {
    return this.#recent;
  }

  chosen(key: string): void {
    this.#recent = [key, ...this.#recent.filter((known) => known !== key)].slice(0, RECENT_MAX);
    writeStored(KEY, JSON.stringify(this.#recent));
  }
}

function recentFrom(text: string | null): string[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value.filter((key) => typeof key === "string").slice(0, RECENT_MAX) : [];
  } catch {
    return [];
  }
}
