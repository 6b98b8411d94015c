/** Characters that are there and not seen, or that turn the order of those that are: spelled out where a person decides. */

/** A piece of text as it stands, or the name of a character that would not be seen. */
export interface Piece {
  text: string;
  hidden: boolean;
}

/** Controls but line breaks and tabs, formats (direction, zero width, tags), separators, halves of pairs, and blanks that are letters. */
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/u;
const EACH = new RegExp(HIDDEN, "gu");

export function hasHidden(text: string): boolean {
  return HIDDEN.test(text);
}

export function spelledOut(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const { 0: char, index } of text.matchAll(EACH)) {
    if (index > at) pieces.push({ text: text.slice(at, index), hidden: false });
    pieces.push({ text: nameOf(char), hidden: true });
    at = index + char.length;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), hidden: false });
  return pieces;
}

function nameOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code === 0x1b) return "ESC";
  if (code === 0x0d) return "CR";
  if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
