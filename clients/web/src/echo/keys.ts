/** What a key would do to a line that is being typed, as far as it can be told. */

import { columnsOf } from "../terminal/widths";

export type Key =
  | { kind: "text"; chars: readonly { char: string; width: 1 | 2 }[] }
  | { kind: "erase" | "left" | "right" }
  /** Enter, Escape, a control key, a paste: what comes of it only the program knows. */
  | { kind: "other" };

/** An input method's word; more at once is a paste, and nobody waits for its letters one by one. */
const CHARS_MAX = 32;
const OTHER: Key = { kind: "other" };

export function keyOf(data: string): Key {
  if (data === "\x7f" || data === "\b") return { kind: "erase" };
  if (data === "\x1b[D" || data === "\x1bOD") return { kind: "left" };
  if (data === "\x1b[C" || data === "\x1bOC") return { kind: "right" };
  const chars: { char: string; width: 1 | 2 }[] = [];
  for (const char of data) {
    const code = char.codePointAt(0) ?? 0;
    const width = columnsOf(code);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || width === 0 || chars.length === CHARS_MAX) return OTHER;
    chars.push({ char, width });
  }
  return chars.length === 0 ? OTHER : { kind: "text", chars };
}
