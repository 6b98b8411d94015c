/**
 * How many columns a character takes: the worker's own table, for xterm.
 *
 * The page loads the same table (`clients/web/src/terminal/widths.json`). No table that
 * ships with xterm is the worker's: each knows another Unicode version, and a
 * character counted differently shifts everything behind it.
 */

import { readFileSync } from "node:fs";

/** `[first, last, columns]`, sorted; what is in no range takes one column. */
const RANGES = JSON.parse(readFileSync(new URL("../../clients/web/src/terminal/widths.json", import.meta.url), "utf8"));

const table = new Uint8Array(0x110000).fill(1);
for (const [first, last, columns] of RANGES) table.fill(columns, first, last + 1);

/** xterm packs a character's facts into one number: its columns, and whether it joins the one before it. */
const pack = (columns, joins) => (columns << 1) | (joins ? 1 : 0);
const columnsOf = (facts) => (facts >> 1) & 3;

/** An `IUnicodeVersionProvider` that counts by code point. */
export const provider = {
  version: "baton",
  wcwidth: (code) => table[code],
  charProperties(code, preceding) {
    const columns = table[code];
    // A combining character belongs to the cell before the cursor, whatever came between.
    return columns === 0 ? pack(columnsOf(preceding), true) : pack(columns, false);
  },
};
