/** Selecting by cells: the word under a finger, and what lies between two places. */

export interface Cell {
  row: number;
  col: number;
}

/** Ends a word as a path or an address is read: quotes, brackets and blanks do, slashes and colons do not. */
const BREAKS = /^[\s"'`()[\]{}<>|;,]?$/u;

/** The first and last column of the word at `col`; the cell itself where there is none. */
export function wordAt(charsAt: (col: number) => string, col: number, cols: number): { start: number; end: number } {
  let [start, end] = [col, col];
  if (BREAKS.test(charsAt(col))) return { start, end };
  while (start > 0 && !BREAKS.test(charsAt(start - 1))) start -= 1;
  while (end + 1 < cols && !BREAKS.test(charsAt(end + 1))) end += 1;
  return { start, end };
}

/** Both ends belong to it, whichever comes first. */
export function between(a: Cell, b: Cell, cols: number): { start: Cell; length: number } {
  const [from, to] = [a.row * cols + a.col, b.row * cols + b.col];
  const start = from <= to ? a : b;
  return { start, length: Math.abs(to - from) + 1 };
}
