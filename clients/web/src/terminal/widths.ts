/**
 * How many columns a character takes, by the table the worker's screen counts with.
 *
 * No table that comes with xterm is that one: its own is Unicode 6, and the
 * addons know other versions still. A character counted differently shifts all
 * that follows it in the line, and what a snapshot says no longer fits.
 * The test `screens::the_widths_of_the_page_are_the_widths_of_the_worker`
 * compares the table with the worker, and writes it.
 */

import type { IUnicodeVersionProvider, Terminal } from "@xterm/xterm";
import ranges from "./widths.json";

const table = new Uint8Array(0x110000).fill(1);
for (const [first, last, columns] of ranges as [number, number, 0 | 2][]) table.fill(columns, first, last + 1);

/** Columns of a code point: 0 joins the character before it. */
export function columnsOf(code: number): 0 | 1 | 2 {
  return table[code] as 0 | 1 | 2;
}

/** xterm packs a character's facts into one number: its columns, and whether it joins the one before it. */
const pack = (columns: number, joins: boolean): number => (columns << 1) | (joins ? 1 : 0);
const columnsIn = (facts: number): number => (facts >> 1) & 3;

const provider: IUnicodeVersionProvider = {
  version: "baton",
  wcwidth: columnsOf,
  charProperties(code, preceding) {
    const columns = columnsOf(code);
    // A combining character belongs to the cell before the cursor, whatever came between.
    return columns === 0 ? pack(columnsIn(preceding), true) : pack(columns, false);
  },
};

/** Makes a terminal count by code point, as the worker's screen does. */
export function countAsTheWorker(term: Pick<Terminal, "unicode">): void {
  term.unicode.register(provider);
  term.unicode.activeVersion = provider.version;
}
