/** A screen of the past: an xterm that is written to and never listened to. */

import { Terminal } from "@xterm/xterm";
import { cellOf, fit } from "../terminal/fit";
import type { Pixels } from "../terminal/layout";
import { fromScratch } from "../terminal/output_queue";
import type { Cells } from "../api/protocol";
import { guard } from "../terminal/guards";
import { swallowQueries } from "../terminal/queries";
import { dress, looksOf } from "../terminal/looks";
import type { Settings, Shade } from "../settings/settings";
import { columnsOf, countAsTheWorker } from "../terminal/widths";

const encoder = new TextEncoder();

export class PastScreen {
  readonly #term: Terminal;
  readonly #box: HTMLElement;
  #font: number;
  #cell: Pixels = { width: 0, height: 0 };
  /** The next output begins a new screen. */
  #begins = false;

  constructor(box: HTMLElement, cells: Cells, settings: Settings, shade: Shade) {
    this.#box = box;
    this.#font = settings.font_px;
    this.#term = new Terminal({
      allowProposedApi: true,
      cols: cells.cols,
      cursorInactiveStyle: "outline",
      disableStdin: true,
      rows: cells.rows,
      ...looksOf(settings, shade),
      scrollback: 0,
    });
    countAsTheWorker(this.#term);
    this.#term.open(box);
    // It shows; keys are the slider's.
    this.#term.textarea?.setAttribute("tabindex", "-1");
    this.#term.textarea?.setAttribute("aria-label", "A screen of the past. Nothing typed here is sent.");
    swallowQueries(this.#term.parser);
    guard(this.#term);
    // Whatever a mouse mode of the past makes of the wheel, there is nobody to tell.
    this.#term.attachCustomWheelEventHandler(() => false);
    this.#term.attachCustomKeyEventHandler(() => false);
    this.#measure();
    this.layout();
  }

  dispose(): void {
    this.#term.dispose();
  }

  show(bytes: Uint8Array, cells: Cells): Promise<void> {
    this.#begins = false;
    this.#term.clearSelection();
    this.resize(cells);
    return this.#write(fromScratch(bytes));
  }

  /** The output that comes next stands on an empty screen of this size. */
  begin(cells: Cells): void {
    this.resize(cells);
    this.#begins = true;
  }

  output(text: string): Promise<void> {
    const bytes = encoder.encode(text);
    const begins = this.#begins;
    this.#begins = false;
    return this.#write(begins ? fromScratch(bytes) : bytes);
  }

  resize({ cols, rows }: Cells): void {
    if (cols === this.#term.cols && rows === this.#term.rows) return;
    this.#term.resize(cols, rows);
    this.layout();
  }

  configure(settings: Settings, shade: Shade): void {
    this.#font = settings.font_px;
    dress(this.#term, settings, shade);
    this.#measure();
    this.layout();
  }

  layout(): void {
    fit(this.#term, { width: this.#box.clientWidth, height: this.#box.clientHeight }, this.#cell, this.#font);
  }

  text(): string {
    const { active } = this.#term.buffer;
    return Array.from({ length: this.#term.rows }, (_, row) => active.getLine(row)?.translateToString(true) ?? "").join("\n");
  }

  /** What is marked. */
  marked(): string {
    return this.#term.getSelection();
  }

  /** Marks the lowest place where `wanted` stands, also across a wrapped line's end. */
  mark(wanted: string): boolean {
    const { active } = this.#term.buffer;
    for (let row = this.#term.rows - 1; row >= 0; row--) {
      if (active.getLine(row)?.isWrapped) continue;
      let line = active.getLine(row)?.translateToString(false) ?? "";
      for (let below = row + 1; active.getLine(below)?.isWrapped; below++) line += active.getLine(below)?.translateToString(false) ?? "";
      const at = line.lastIndexOf(wanted);
      if (at < 0) continue;
      const column = columnsIn(line.slice(0, at));
      this.#term.select(column % this.#term.cols, row + Math.floor(column / this.#term.cols), columnsIn(wanted));
      return true;
    }
    return false;
  }

  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((shown) => this.#term.write(bytes, shown));
  }

  #measure(): void {
    this.#term.options.fontSize = this.#font;
    this.#cell = cellOf(this.#term) ?? this.#cell;
  }
}

function columnsIn(text: string): number {
  let columns = 0;
  for (const char of text) columns += columnsOf(char.codePointAt(0) ?? 0);
  return columns;
}
