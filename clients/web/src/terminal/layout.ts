/**
 * How big a terminal is: the cells a window has room for, and the font that
 * lets a window show a terminal whose size somebody else decides.
 */

import type { Cells } from "../api/protocol";

/** Pixels; for a character cell the size at the font the user chose. */
export interface Pixels {
  width: number;
  height: number;
}

const COLS_MIN = 20;
const ROWS_MIN = 4;
const CELLS_MAX = 1000;

/** Space kept for the emulator's own scroll bar. */
export const SCROLLBAR_PX = 12;
/** Below this nobody reads; the terminal scrolls instead. */
export const FONT_MIN_PX = 8;

/** The cells that fit into `box`; nothing while it is hidden. */
export function roomFor(box: Pixels, cell: Pixels): Cells | null {
  if (box.width < 40 || box.height < 40 || cell.width <= 0 || cell.height <= 0) return null;
  return {
    cols: clamp(Math.floor((box.width - SCROLLBAR_PX) / cell.width), COLS_MIN),
    rows: clamp(Math.floor(box.height / cell.height), ROWS_MIN),
  };
}

/** The font size, at most `font`, at which `size` fits into `box`. */
export function fontFor(box: Pixels, size: Cells, cell: Pixels, font: number): number {
  const ratio = Math.min(
    1,
    (box.width - SCROLLBAR_PX) / (size.cols * cell.width),
    box.height / (size.rows * cell.height),
  );
  const scaled = ratio >= 1 ? font : Math.floor(font * ratio * 4) / 4;
  return Math.max(Math.min(font, FONT_MIN_PX), scaled);
}

export function sameCells(a: Cells | null, b: Cells | null): boolean {
  return a?.cols === b?.cols && a?.rows === b?.rows;
}

function clamp(cells: number, least: number): number {
  return Math.min(CELLS_MAX, Math.max(least, cells));
}
