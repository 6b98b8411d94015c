/** Guessed characters over the terminal's cells. The emulator's own cells stay what the output made them. */

import type { Terminal } from "@xterm/xterm";
import { cellOf } from "../terminal/fit";
import type { GuessedCell, Place } from "./guesses";
import "./overlay.css";

export class EchoOverlay {
  readonly #term: Terminal;
  #layer: HTMLElement | null = null;

  constructor(term: Terminal) {
    this.#term = term;
  }

  draw(shown: { cells: readonly GuessedCell[]; cursor: Place } | null): void {
    // Each frame comes by here, and nearly always there is nothing.
    if (!shown) return this.#layer?.replaceChildren();
    const screen = this.#term.element?.querySelector<HTMLElement>(".xterm-screen");
    const cell = cellOf(this.#term);
    if (!screen || !cell) return this.#layer?.replaceChildren();
    const layer = (this.#layer ??= document.createElement("div"));
    if (layer.parentElement !== screen) {
      layer.className = "echo-layer";
      // It says nothing yet: a reader hears what the program says.
      layer.setAttribute("aria-hidden", "true");
      screen.append(layer);
    }
    const { options, buffer, rows } = this.#term;
    const { background = "#000", foreground = "#fff", cursor = "#fff" } = options.theme ?? {};
    Object.assign(layer.style, { color: foreground, fontFamily: options.fontFamily ?? "", fontSize: `${options.fontSize ?? 14}px`, lineHeight: `${cell.height}px` });
    const place = (element: HTMLElement, { row, col }: Place, width: number): HTMLElement | null => {
      const line = row - buffer.active.viewportY;
      if (line < 0 || line >= rows) return null;
      Object.assign(element.style, { left: `${col * cell.width}px`, top: `${line * cell.height}px`, width: `${width * cell.width}px`, height: `${cell.height}px` });
      return element;
    };
    const cells = shown.cells.map((guess) => {
      const span = document.createElement("span");
      span.className = guess.char === " " ? "echo-cell" : "echo-cell echo-guess";
      span.style.background = background;
      span.textContent = guess.char;
      return place(span, guess, guess.width);
    });
    const caret = document.createElement("span");
    caret.className = "echo-cursor";
    caret.style.borderColor = cursor;
    layer.replaceChildren(...[...cells, place(caret, shown.cursor, 1)].filter((element) => element !== null));
  }

  dispose(): void {
    this.#layer?.remove();
    this.#layer = null;
  }
}
