/**
 * Text that a program or an agent chose, where a person acts on what it says.
 *
 * A character that shows nothing, or turns the ones beside it around, is shown
 * by its number: a name must not look like another one.
 */

// Controls, what directs writing, and blanks of no width. The joiner stays within emoji.
const HIDDEN = /(?!\u200d(?=\p{Extended_Pictographic}))[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\u115f\u1160\u3164\uffa0]/gu;

export function plainText(text: string): string {
  return text.replace(HIDDEN, (char) => `⟨${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** The same in one line, not longer than this. */
export function plainLine(text: string, chars_max: number): string {
  const line = plainText(text.replace(/[\t\r\n]+/g, " ").trim());
  const chars = [...line];
  return chars.length <= chars_max ? line : `${chars.slice(0, chars_max - 1).join("")}…`;
}
