/** An xterm's cells in pixels, and its font made to fit a box. */

import type { Terminal } from "@xterm/xterm";
import { fontFor, SCROLLBAR_PX, type Pixels } from "./layout";

/** The size of a cell as it is drawn now; nothing before it is drawn. */
export function cellOf(term: Terminal): Pixels | null {
  const screen = term.element?.querySelector<HTMLElement>(".xterm-screen");
  if (!screen) return null;
  // The renderer sets these; offsetWidth would round the fraction away.
  const width = Number.parseFloat(screen.style.width);
  const height = Number.parseFloat(screen.style.height);
  if (!(width > 0 && height > 0)) return null;
  return { width: width / term.cols, height: height / term.rows };
}

/** Draws `term` at most as large as `font`, whose cells are `cell`, and so that all of it fits into `box`; or at `zoom`, whether it fits or not. */
export function fit(term: Terminal, box: Pixels, cell: Pixels, font: number, zoom: number | null = null): void {
  const { element } = term;
  if (!element) return;
  const fitting = zoom ?? fontFor(box, { cols: term.cols, rows: term.rows }, cell, font);
  if (term.options.fontSize !== fitting) term.options.fontSize = fitting;
  const drawn = cellOf(term);
  if (!drawn) return;
  element.style.width = `${Math.ceil(term.cols * drawn.width) + SCROLLBAR_PX}px`;
  element.style.height = `${Math.ceil(term.rows * drawn.height)}px`;
}
