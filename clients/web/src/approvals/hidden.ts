/**
 * Text that somebody decides about, with nothing in it that is not seen: what has no width, turns the direction of reading, or is a
 * blank that is no space is written as its name. The same characters as `proto/src/hidden.rs`.
 */

const HIDDEN =
  /[\p{Cc}\u{a0}\u{ad}\u{34f}\u{600}-\u{605}\u{61c}\u{6dd}\u{70f}\u{890}-\u{891}\u{8e2}\u{115f}-\u{1160}\u{1680}\u{17b4}-\u{17b5}\u{180b}-\u{180f}\u{2000}-\u{200f}\u{2028}-\u{202f}\u{205f}-\u{206f}\u{2800}\u{3000}\u{3164}\u{fe00}-\u{fe0f}\u{feff}\u{ffa0}\u{fff0}-\u{fffb}\u{110bd}\u{110cd}\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{d800}-\u{dfff}\u{e0000}-\u{e0fff}]/u;
/** A run of blanks this long pushes what follows out of sight. */
const BLANKS_MAX = 8;
const PARTS = new RegExp(`(?:${HIDDEN.source})+| {${BLANKS_MAX + 1},}`, "gu");
/** Beyond this many pieces the names stand in the text like any other. */
const PIECES_MAX = 2_000;

export interface Piece {
  text: string;
  /** It is the name of something that would not be seen. */
  named: boolean;
}

/** The name of a hidden character: `\t`, `\n`, `\x1b`, `\u{202e}`. */
export function nameOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (char === "\t") return "\\t";
  if (char === "\n") return "\\n";
  if (char === "\r") return "\\r";
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

/** `text` in pieces to show one after the other. A line end is named and still ends the line. */
export function pieces(text: string): Piece[] {
  const all: Piece[] = [];
  let from = 0;
  for (const found of text.matchAll(PARTS)) {
    if (all.length >= PIECES_MAX) break;
    if (found.index > from) all.push({ text: text.slice(from, found.index), named: false });
    all.push({ text: found[0].startsWith(" ") ? `⟨${found[0].length} spaces⟩` : named(found[0]), named: true });
    from = found.index + found[0].length;
  }
  if (from < text.length) all.push({ text: all.length >= PIECES_MAX ? plain(text.slice(from)) : text.slice(from), named: false });
  return all;
}

/** The same as one text, for where there is room for text only. */
export function plain(text: string): string {
  return text.replace(PARTS, (run) => (run.startsWith(" ") ? `⟨${run.length} spaces⟩` : named(run)));
}

/** The beginning of a text on one line, and how much is missing. */
export function preview(text: string, charsMax: number): string {
  const chars = [...text.slice(0, 2 * charsMax + 2)];
  const cut = chars.length > charsMax ? chars.slice(0, charsMax).join("") : text;
  const missing = text.length - cut.length;
  const line = plain(cut).replaceAll("\n", "");
  return missing > 0 ? `${line}… (+${missing} characters)` : line;
}

function named(run: string): string {
  return [...run].map((char) => (char === "\n" ? "\\n\n" : nameOf(char))).join("");
}
