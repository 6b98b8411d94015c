/** Text that a program or an agent chose, as one line in which nothing hides. */

/** Controls, what turns the direction of writing, what takes no room, and what is no character at all. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]/gu;
const CHARS_MAX = 300;

/** Each hidden character as its number in brackets; what is longer than a row shows ends in `…`. */
export function plainText(text: string): string {
  const cut = text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)}…` : text;
  return visible(cut);
}

/** The same, whole. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (char) => `⟨${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** Readable JSON in which nothing hides; its own line breaks stay. */
export function visibleJson(value: unknown): string {
  return JSON.stringify(value, null, 2).split("\n").map(visible).join("\n");
}
