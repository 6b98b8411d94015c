/** What the palette lists for what is typed, best first. */

import { score } from "./fuzzy";

export interface PaletteItem {
  /** The same for the same thing at another time. */
  key: string;
  kind: "session" | "action";
  label: string;
  /** In smaller letters beside it. */
  detail?: string;
  shortcut?: string;
  /** More to find it by. */
  words?: readonly string[];
  /** Only listed when something is typed: one for each session would bury the rest. */
  typedOnly?: boolean;
  run(): void;
}

const SHOWN_MAX = 50;
const RECENT_BONUS = 4;

export function ranked(items: readonly PaletteItem[], typed: string, recent: readonly string[]): PaletteItem[] {
  const age = (key: string): number => {
    const at = recent.indexOf(key);
    return at < 0 ? Infinity : at;
  };
  if (typed.trim() === "") {
    const plain = items.filter(({ typedOnly }) => !typedOnly);
    // Sorting is stable: what was never chosen stays in its order.
    return [...plain].sort((a, b) => compare(age(a.key), age(b.key))).slice(0, SHOWN_MAX);
  }
  const found: { item: PaletteItem; points: number }[] = [];
  for (const item of items) {
    const fit = score(typed, [item.label, ...(item.words ?? [])]);
    if (fit === null) continue;
    found.push({ item, points: fit + (age(item.key) < Infinity ? RECENT_BONUS : 0) - (item.typedOnly ? RECENT_BONUS : 0) });
  }
  return found.sort((a, b) => b.points - a.points).slice(0, SHOWN_MAX).map(({ item }) => item);
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}
