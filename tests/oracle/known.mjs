/**
 * The differences that are understood and stay. Each says why; each matches one
 * thing exactly. Whatever matches none is a defect.
 *
 * Where xterm itself has a defect that only one of the two terminals would run
 * into, it is mended in both (`mends.mjs`) instead of being excused here.
 */

import { provider } from "./widths.mjs";

/** @typedef {import("./compare.mjs").Difference} Difference */
/** @typedef {import("./terminal.mjs").Emulator} Emulator */

/** @type {{ name: string, why: string, is: (difference: Difference, whole: Emulator) => boolean }[]} */
export const KNOWN = [
  {
    name: "blank",
    why: "An erased cell and a space look alike; xterm tells them apart only when it cuts the end off a copied line.",
    is: ({ what }) => what === "blank",
  },
  {
    name: "spelling of a colour",
    why: "One of the sixteen colours can be said by SGR 30 to 37 or by SGR 38;5; it is the same colour.",
    is: ({ whole, joined }) => indexed(whole) !== undefined && indexed(whole) === indexed(joined),
  },
  {
    name: "half a wide character",
    why: "Without autowrap, xterm writes over the second half of a wide character at the margin and keeps the first; no bytes say that.",
    is: ({ where }, whole) => isHalved(whole, where),
  },
  {
    name: "orphaned second half",
    why: "Characters inserted in the middle of a wide one leave its second half behind in xterm: a blank of no width.",
    is: ({ where }, whole) => isOrphan(whole, where),
  },
  {
    name: "pen of nothing",
    why: "Where the second half of a wide character is lost to what is written before it, xterm leaves an empty cell of the next text's pen. Of these attributes an empty cell shows nothing.",
    is: ({ where, what }, whole) => PEN_OF_TEXT.includes(what) && isEmpty(whole, where),
  },
  {
    name: "mark without a character",
    why: "A combining character with nothing to combine with: xterm shows it alone, at a line's beginning in a cell of no width; the engine puts a blank under it.",
    is: ({ where, what, joined }, whole) => {
      const mark = markAlone(whole, where);
      if (mark === undefined) return false;
      // Of several, xterm loses all but the first at a line's beginning.
      return what === "text" ? joined.startsWith(` ${mark}`) && areMarks(joined.slice(1)) : what === "width" && joined === 1;
    },
  },
  {
    name: "icon name",
    why: "xterm keeps the name of the icon (OSC 0 and 1) and shows it nowhere; neither does anything of ours.",
    is: ({ where, what }) => where === "modes" && (what === "iconName" || what === "iconNames"),
  },
  {
    name: "synchronized output",
    why: "A snapshot never opens a synchronized update: nobody but the program knows when it would close.",
    is: ({ where, what, joined }) => where === "modes" && what === "synchronized" && joined === false,
  },
];

/** What is seen of a character and of nothing else. */
const PEN_OF_TEXT = ["foreground", "bold", "dim", "italic"];

/** The name of the known difference that this is. */
export function known(difference, whole) {
  return KNOWN.find(({ is }) => is(difference, whole))?.name;
}

/** Whether the cell but one from the margin says that it is wide, and the last one is something else. */
function isHalved(emulator, where) {
  const { line, column } = cellAt(emulator, where) ?? {};
  return column === emulator.term.cols - 2 && line.getWidth(column) === 2 && line.getWidth(column + 1) !== 0;
}

/** Whether nothing was ever written to a cell, or it was erased. */
function isEmpty(emulator, where) {
  const { line, column } = cellAt(emulator, where) ?? {};
  return line !== undefined && line.getWidth(column) === 1 && line.getString(column) === "";
}

/** Whether a cell is a second half that no first half is before. */
function isOrphan(emulator, where) {
  const { line, column } = cellAt(emulator, where) ?? {};
  if (line === undefined || line.getWidth(column) !== 0 || line.getString(column) !== "") return false;
  return column === 0 || line.getWidth(column - 1) !== 2;
}

/** The text of a cell that nothing but combining characters was written to. */
function markAlone(emulator, where) {
  const { line, column } = cellAt(emulator, where) ?? {};
  const text = line?.getString(column) ?? "";
  return text !== "" && areMarks(text) ? text : undefined;
}

function areMarks(text) {
  return [...text].every((character) => provider.wcwidth(character.codePointAt(0)) === 0);
}

function cellAt(emulator, where) {
  const [, screen, row, column] = /^(primary|alternate) (-?\d+),(\d+)$/.exec(where) ?? [];
  if (screen === undefined) return undefined;
  const buffer = screen === "primary" ? emulator.buffers.normal : emulator.buffers.alt;
  return { line: buffer.lines.get(buffer.ybase + Number(row)), column: Number(column) };
}

function indexed(value) {
  return typeof value === "string" ? /^(?:16|256):([0-9]|1[0-5])$/.exec(value)?.[1] : undefined;
}
