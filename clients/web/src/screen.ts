/**
 * The terminal on the page: xterm, fed in order, sized by the session.
 *
 * Bytes, resizes and resets pass through one queue, because a resize belongs to
 * a place in the output: applied early, it would wrap lines that were written
 * for the old width. The screen always has the session's size, whoever owns it.
 */

import { UnicodeGraphemesAddon } from "@xterm/addon-unicode-graphemes";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal, type IDisposable } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { fontFor, roomFor, SCROLLBAR_PX, type Pixels } from "./layout";
import type { Cells } from "./protocol";
import { originOf, type Origin } from "./replies";
import { swallowQueries } from "./queries";
import { FONT_FAMILY, TERMINAL_THEMES, type Settings, type Shade } from "./settings";

type Step = { kind: "bytes"; bytes: Uint8Array; offset: number } | { kind: "resize"; cells: Cells } | { kind: "reset" };

export interface ScreenListener {
  /** Everything before `offset` is on the screen. */
  parsed(offset: number): void;
  /** What the emulator wants sent, and whether a person made it. */
  data(bytes: Uint8Array, origin: Exclude<Origin, "reply">): void;
  /** The cells this window has room for. */
  room(cells: Cells): void;
}

const SCROLLBACK_LINES = 10_000;
const encoder = new TextEncoder();

export class Screen {
  readonly term: Terminal;
  readonly #listener: ScreenListener;
  readonly #steps: Step[] = [];
  readonly #disposables: IDisposable[] = [];
  #writing = 0;
  #parsedOffset = 0;
  #replayEnd = 0;
  #font: number;
  #cell: Pixels = { width: 0, height: 0 };
  #box: HTMLElement | null = null;
  #room: Cells | null = null;
  /** Whether the wheel may type arrows, as it does in full-screen programs. */
  wheelTypes = false;

  constructor(settings: Settings, shade: Shade, listener: ScreenListener) {
    this.#listener = listener;
    this.#font = settings.font_px;
    this.term = new Terminal({
      allowProposedApi: true,
      altClickMovesCursor: false,
      cursorBlink: true,
      fontFamily: FONT_FAMILY,
      fontSize: settings.font_px,
      // At 1.0 some fonts lose their underscores to the row below.
      lineHeight: 1.15,
      linkHandler: { activate: (_event, uri) => openLink(uri) },
      macOptionIsMeta: true,
      minimumContrastRatio: 4.5,
      screenReaderMode: settings.screen_reader,
      scrollback: SCROLLBACK_LINES,
      theme: TERMINAL_THEMES[shade],
    });
  }

  /** Puts the terminal into `box` and measures it. */
  open(box: HTMLElement): void {
    this.#box = box;
    this.term.open(box);
    this.term.loadAddon(new UnicodeGraphemesAddon());
    // Widths by code point, as programs and the worker's screen count them.
    this.term.unicode.activeVersion = "15";
    this.term.loadAddon(new WebLinksAddon((_event, uri) => openLink(uri)));
    this.#disposables.push(
      ...swallowQueries(this.term.parser),
      this.term.onData((data) => this.#emitted(data, encoder.encode(data))),
      this.term.onBinary((data) => this.#emitted(data, Uint8Array.from(data, (char) => char.charCodeAt(0)))),
    );
    this.term.attachCustomWheelEventHandler(() => this.wheelTypes || this.term.buffer.active.type === "normal");
    this.#measure();
    this.layout();
    void this.#accelerate();
  }

  dispose(): void {
    this.#steps.length = 0;
    this.#disposables.forEach((disposable) => disposable.dispose());
    this.term.dispose();
    this.#box = null;
  }

  /** Output up to `end` is history: what the emulator says to it is nobody's input. */
  replayUntil(end: number): void {
    this.#replayEnd = end;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#push({ kind: "bytes", bytes, offset });
  }

  resize(cells: Cells): void {
    this.#push({ kind: "resize", cells });
  }

  /** Forgets everything shown, in its turn. */
  reset(): void {
    this.#push({ kind: "reset" });
  }

  configure(settings: Settings, shade: Shade): void {
    this.term.options.theme = TERMINAL_THEMES[shade];
    this.term.options.screenReaderMode = settings.screen_reader;
    if (settings.font_px !== this.#font) {
      this.#font = settings.font_px;
      this.term.options.fontSize = settings.font_px;
      this.#measure();
    }
    this.layout();
  }

  /** Fits the session's size into the window, and tells how much room there is. */
  layout(): void {
    const element = this.term.element;
    if (!this.#box || !element) return;
    const box = { width: this.#box.clientWidth, height: this.#box.clientHeight };
    const room = roomFor(box, this.#cell);
    if (!room) return;
    if (room.cols !== this.#room?.cols || room.rows !== this.#room.rows) {
      this.#room = room;
      this.#listener.room(room);
    }
    const size = { cols: this.term.cols, rows: this.term.rows };
    const font = fontFor(box, size, this.#cell, this.#font);
    if (this.term.options.fontSize !== font) this.term.options.fontSize = font;
    const cell = cellOf(this.term);
    if (!cell) return;
    element.style.width = `${Math.ceil(size.cols * cell.width) + SCROLLBAR_PX}px`;
    element.style.height = `${Math.ceil(size.rows * cell.height)}px`;
    element.dataset["smaller"] = String(size.cols < room.cols || size.rows < room.rows);
  }

  get room(): Cells | null {
    return this.#room;
  }

  /** A cell at the font the user chose, in device-independent pixels. */
  get cell(): Pixels {
    return this.#cell;
  }

  /** The rows on the screen, joined by newlines. */
  text(): string {
    const buffer = this.term.buffer.active;
    const rows: string[] = [];
    for (let row = 0; row < this.term.rows; row++) {
      rows.push(buffer.getLine(buffer.viewportY + row)?.translateToString(true) ?? "");
    }
    return rows.join("\n");
  }

  #push(step: Step): void {
    this.#steps.push(step);
    this.#pump();
  }

  #pump(): void {
    for (let step = this.#steps[0]; step; step = this.#steps[0]) {
      // xterm resizes and resets at once, but parses what it was given later.
      if (step.kind !== "bytes" && this.#writing > 0) return;
      this.#steps.shift();
      if (step.kind === "bytes") this.#feed(step.bytes, step.offset);
      else if (step.kind === "reset") this.#clear();
      else this.#apply(step.cells);
    }
  }

  #feed(bytes: Uint8Array, offset: number): void {
    this.#writing += 1;
    this.term.write(bytes, () => {
      this.#writing -= 1;
      this.#parsedOffset = offset;
      this.#listener.parsed(offset);
      this.#pump();
    });
  }

  #clear(): void {
    this.#parsedOffset = 0;
    this.term.reset();
  }

  #apply(cells: Cells): void {
    this.term.resize(cells.cols, cells.rows);
    this.layout();
  }

  #emitted(data: string, bytes: Uint8Array): void {
    const origin = originOf(data);
    if (origin === "reply") return;
    if (origin === "report" && this.#parsedOffset < this.#replayEnd) return;
    this.#listener.data(bytes, origin);
  }

  /** The size of a cell at the user's own font. */
  #measure(): void {
    if (this.term.options.fontSize !== this.#font) this.term.options.fontSize = this.#font;
    this.#cell = cellOf(this.term) ?? this.#cell;
  }

  /** Draws with the graphics card where there is a real one; the DOM renderer is the fallback. */
  async #accelerate(): Promise<void> {
    if (!hasGraphicsCard()) return;
    try {
      const { WebglAddon } = await import("@xterm/addon-webgl");
      if (!this.#box) return;
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => webgl.dispose());
      this.term.loadAddon(webgl);
      this.#measure();
      this.layout();
    } catch (error) {
      console.info("baton: drawing without WebGL", error);
    }
  }
}

function cellOf(term: Terminal): Pixels | null {
  const screen = term.element?.querySelector<HTMLElement>(".xterm-screen");
  if (!screen) return null;
  // The renderer sets these; offsetWidth would round the fraction away.
  const width = Number.parseFloat(screen.style.width);
  const height = Number.parseFloat(screen.style.height);
  if (!(width > 0 && height > 0)) return null;
  return { width: width / term.cols, height: height / term.rows };
}

/** Whether WebGL is drawn by hardware; in software the DOM renderer is the faster one. */
function hasGraphicsCard(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!gl) return false;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|software|basic render/i.test(renderer);
}

function openLink(uri: string): void {
  if (/^https?:\/\//i.test(uri)) window.open(uri, "_blank", "noopener,noreferrer");
}
