/**
 * Text that somebody else chose, with nothing in it that is not seen: what has no width, turns the direction of reading, or is a
 * blank that is no space is written as its name. The same characters, by the same names, as in `proto/src/hidden.rs`.
 */

const HIDDEN =
  /[\p{Cc}\u{a0}\u{ad}\u{34f}\u{600}-\u{605}\u{61c}\u{6dd}\u{70f}\u{890}-\u{891}\u{8e2}\u{115f}-\u{1160}\u{1680}\u{17b4}-\u{17b5}\u{180b}-\u{180f}\u{2000}-\u{200f}\u{2028}-\u{202f}\u{205f}-\u{206f}\u{2800}\u{3000}\u{3164}\u{fe00}-\u{fe0f}\u{feff}\u{ffa0}\u{fff0}-\u{fffb}\u{110bd}\u{110cd}\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{d800}-\u{dfff}\u{e0000}-\u{e0fff}]/u;
/** What one emoji is made of: hidden by itself, seen as the emoji. It stays where nobody decides about the exact text. */
const IN_EMOJI = /(?<=\p{Extended_Pictographic}\p{Emoji_Modifier}?\ufe0f?)\u200d(?=\p{Extended_Pictographic})|(?<=\p{Extended_Pictographic})\ufe0f/u;
/** A run of blanks this long pushes what follows out of sight. */
const BLANKS_MAX = 8;

const EXACT = new RegExp(`(?:${HIDDEN.source})+| {${BLANKS_MAX + 1},}`, "gu");
const IN_LINE = new RegExp(`(?!${IN_EMOJI.source})${HIDDEN.source}`, "gu");
const IN_LINES = new RegExp(`(?:(?![\\n\\t]|${IN_EMOJI.source})${HIDDEN.source})+`, "gu");
const TYPED = new RegExp(`${HIDDEN.source}|\\\\`, "gu");

/** Beyond this many pieces the names stand in the text like any other. */
const PIECES_MAX = 2_000;
const ROW_CHARS_MAX = 300;

export interface Piece {
  text: string;
  /** It is the name of something that would not be seen. */
  named: boolean;
}

/**
 * `exact`: somebody decides about this very text. Line ends are named and still end the line; long blanks are named.
 * `lines`: its line ends, tabs and indents only lay it out.
 */
export type How = "exact" | "lines";

/** The name of a hidden character: `\t`, `\n`, `\x1b`, `\u{202e}`. */
export function nameOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (char === "\t") return "\\t";
  if (char === "\n") return "\\n";
  if (char === "\r") return "\\r";
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

/** Whether text of several lines has anything that is not seen. */
export function hasHidden(text: string): boolean {
  return text.search(IN_LINES) >= 0;
}

/** `text` in pieces to show one after the other. */
export function pieces(text: string, how: How): Piece[] {
  const all: Piece[] = [];
  let from = 0;
  for (const found of text.matchAll(how === "exact" ? EXACT : IN_LINES)) {
    if (all.length >= PIECES_MAX) break;
    if (found.index > from) all.push({ text: text.slice(from, found.index), named: false });
    all.push({ text: namesOf(found[0]), named: true });
    from = found.index + found[0].length;
  }
  if (from < text.length) all.push({ text: all.length >= PIECES_MAX ? plain(text.slice(from), how) : text.slice(from), named: false });
  return all;
}

/** The same as one text, for where there is room for text only. */
export function plain(text: string, how: How): string {
  return text.replace(how === "exact" ? EXACT : IN_LINES, namesOf);
}

/** The beginning of an exact text on one line, and how much is missing. */
export function preview(text: string, charsMax: number): string {
  const cut = beginning(text, charsMax);
  const missing = text.length - cut.length;
  const line = plain(cut, "exact").replaceAll("\n", "");
  return missing > 0 ? `${line}… (+${missing} characters)` : line;
}

/** One line of a row, in which line ends are named too. */
export function plainText(text: string): string {
  const cut = beginning(text, ROW_CHARS_MAX);
  const line = cut.replace(IN_LINE, nameOf);
  return cut.length < text.length ? `${line}…` : line;
}

/** One line not longer than this; line ends are blanks in it. */
export function plainLine(text: string, charsMax: number): string {
  const line = text.replace(/[\t\r\n]+/g, " ").trim().replace(IN_LINE, nameOf);
  const chars = [...line.slice(0, 2 * charsMax + 2)];
  return chars.length <= charsMax ? line : `${chars.slice(0, charsMax - 1).join("")}…`;
}

/** Readable JSON in which nothing hides; its own line ends stay. */
export function plainJson(value: unknown): string {
  return plain(JSON.stringify(value, null, 2), "lines");
}

/** Text for a field whose backslashes name what they stand for. */
export function withEscapes(text: string): string {
  return text.replace(TYPED, (char) => (char === "\\" ? "\\\\" : nameOf(char)));
}

function beginning(text: string, charsMax: number): string {
  const chars = [...text.slice(0, 2 * charsMax + 2)];
  return chars.length > charsMax ? chars.slice(0, charsMax).join("") : text;
}

function namesOf(run: string): string {
  if (run.startsWith(" ")) return `⟨${run.length} spaces⟩`;
  return [...run].map((char) => (char === "\n" ? "\\n\n" : nameOf(char))).join("");
}
