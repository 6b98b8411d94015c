/**
 * The terminal on the page: xterm, fed in order, sized by the session.
 *
 * It always has the session's size, whoever owns it.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { Terminal, type IDisposable } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { cellOf, fit } from "./fit";
import { roomFor, type Pixels } from "./layout";
import { Links } from "./links";
import { dress, looksOf } from "./looks";
import { OutputQueue } from "./output_queue";
import type { Cells } from "../api/protocol";
import { originOf, type Origin } from "./replies";
import { guard } from "./guards";
import { swallowQueries } from "./queries";
import type { Settings, Shade } from "../settings/settings";
import { countAsTheWorker } from "./widths";

export interface ScreenListener {
  /** Everything before `offset` is on the screen. */
  parsed(offset: number): void;
  /** What the emulator wants sent, and whether a person made it. */
  data(bytes: Uint8Array, origin: Exclude<Origin, "reply">): void;
  /** The cells this window has room for. */
  room(cells: Cells): void;
  /** Somebody looks for what stands above the first line, or no longer. */
  top(wanted: boolean): void;
  /** A program wants to set the clipboard, in the form of OSC 52. */
  clipboard(data: string): void;
  /** A program sent an image, which is not drawn. */
  image(): void;
  bell(): void;
}

export const SCROLLBACK_LINES = 10_000;
const encoder = new TextEncoder();

export class Screen {
  readonly term: Terminal;
  readonly links = new Links();
  readonly #listener: ScreenListener;
  readonly #queue: OutputQueue;
  readonly #disposables: IDisposable[] = [];
  #parsedOffset = 0;
  #replayEnd = 0;
  #font: number;
  #cell: Pixels = { width: 0, height: 0 };
  #box: HTMLElement | null = null;
  #room: Cells | null = null;
  /** Whether the wheel may type arrows, as it does in full-screen programs. */
  wheelTypes = false;
  /** Pixels of the window that a phone's keyboard covers: they stay the session's. */
  covered = 0;
  /** The font somebody zoomed to; null fits the session into the window. */
  readonly #zoom = signal<number | null>(null);

  constructor(settings: Settings, shade: Shade, listener: ScreenListener) {
    this.#listener = listener;
    this.#font = settings.font_px;
    this.term = new Terminal({
      allowProposedApi: true,
      altClickMovesCursor: false,
      ...looksOf(settings, shade),
      linkHandler: this.links,
      macOptionIsMeta: settings.option_as_meta,
      scrollback: settings.scrollback,
    });
    countAsTheWorker(this.term);
    this.#queue = new OutputQueue(this.term, {
      parsed: (offset) => {
        this.#parsedOffset = offset;
        listener.parsed(offset);
      },
      resized: () => this.layout(),
    });
  }

  /** Puts the terminal into `box` and measures it. */
  open(box: HTMLElement): void {
    this.#box = box;
    this.term.open(box);
    this.links.attach(this.term);
    this.#disposables.push(
      ...swallowQueries(this.term.parser),
      ...guard(this.term),
      ...this.#wishes(),
      this.term.onBell(() => this.live && this.#listener.bell()),
      this.term.onData((data) => this.#emitted(data, encoder.encode(data))),
      this.term.onScroll((line) => this.#scrolled(line)),
      this.term.onBinary((data) => this.#emitted(data, Uint8Array.from(data, (char) => char.charCodeAt(0)))),
    );
    this.term.attachCustomWheelEventHandler((event) => this.#wheel(event));
    this.#measure();
    this.layout();
    void this.#accelerate();
  }

  dispose(): void {
    this.#queue.clear();
    this.#disposables.forEach((disposable) => disposable.dispose());
    this.term.dispose();
    this.#box = null;
  }

  /** Output up to `end` is history: what the emulator says to it is nobody's input. */
  replayUntil(end: number): void {
    this.#replayEnd = end;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#queue.bytes(bytes, offset);
  }

  resize(cells: Cells): void {
    this.#queue.resize(cells);
  }

  /** Forgets everything shown, in its turn. */
  reset(): void {
    this.#queue.reset();
  }

  /** Replaces everything shown by the screen at `offset`, in its turn. */
  restart(bytes: Uint8Array, offset: number, cells: Cells | null): void {
    this.#queue.restart(bytes, offset, cells);
  }

  /**
   * Puts more lines above what is shown: `ask` gets a recent snapshot that has
   * them. What stands in the window stays where it is. How many lines; null when
   * the two do not join, as in `rebase`.
   */
  async extend(ask: Parameters<OutputQueue["rebase"]>[0]): Promise<number | null> {
    const before = this.term.buffer.normal.length;
    if (!(await this.#queue.rebase(ask))) return null;
    const lines = Math.max(0, this.term.buffer.normal.length - before);
    this.term.scrollToLine(lines);
    return lines;
  }

  configure(settings: Settings, shade: Shade): void {
    this.#font = settings.font_px;
    dress(this.term, settings, shade);
    this.term.options.macOptionIsMeta = settings.option_as_meta;
    if (this.term.options.scrollback !== settings.scrollback) this.term.options.scrollback = settings.scrollback;
    this.#measure();
    this.layout();
  }

  /** Fits the session's size into the window, and tells how much room there is. */
  layout(): void {
    const element = this.term.element;
    if (!this.#box || !element) return;
    const box = { width: this.#box.clientWidth, height: this.#box.clientHeight + this.covered };
    const room = roomFor(box, this.#cell);
    if (!room) return;
    if (room.cols !== this.#room?.cols || room.rows !== this.#room.rows) {
      this.#room = room;
      this.#listener.room(room);
    }
    fit(this.term, box, this.#cell, this.#font, this.#zoom.peek());
    element.dataset["smaller"] = String(this.term.cols < room.cols || this.term.rows < room.rows);
  }

  /** What is parsed now comes from the program as it runs, not from before or from a snapshot. */
  get live(): boolean {
    return !this.#queue.restoring && this.#parsedOffset >= this.#replayEnd;
  }

  get zoom(): ReadonlySignal<number | null> {
    return this.#zoom;
  }

  /** The font the user chose. */
  get readingSize(): number {
    return this.#font;
  }

  /** Draws larger or smaller, and scrolls what does not fit; the session's size is not touched. */
  setZoom(font: number | null): void {
    this.#zoom.value = font;
    this.layout();
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

  /** Everything kept, wrapped lines joined again. */
  allLines(): string {
    const buffer = this.term.buffer.active;
    let text = "";
    for (let row = 0; row < buffer.length; row++) {
      const line = buffer.getLine(row);
      text += `${row > 0 && !line?.isWrapped ? "\n" : ""}${line?.translateToString(true) ?? ""}`;
    }
    return text;
  }

  #emitted(data: string, bytes: Uint8Array): void {
    const origin = originOf(data);
    if (origin === "reply" || (origin === "report" && !this.live)) return;
    this.#listener.data(bytes, origin);
  }

  /** What programs ask for beside the screen. Images have no place in the worker's screen, so none is drawn here either. */
  #wishes(): IDisposable[] {
    const { parser } = this.term;
    const image = (): true => {
      if (this.live) this.#listener.image();
      return true;
    };
    return [
      parser.registerOscHandler(52, (data) => {
        this.#listener.clipboard(data);
        return true;
      }),
      parser.registerDcsHandler({ final: "q" }, image),
      parser.registerOscHandler(1337, (data) => (data.startsWith("File=") || data.startsWith("MultipartFile=")) && image()),
    ];
  }

  #scrolled(line: number): void {
    const { type, baseY } = this.term.buffer.active;
    if (line === 0 && baseY > 0 && type === "normal") this.#listener.top(true);
  }

  #wheel(event: WheelEvent): boolean {
    const { type, viewportY } = this.term.buffer.active;
    if (event.deltaY > 0) this.#listener.top(false);
    else if (type === "normal" && viewportY === 0) this.#listener.top(true);
    return this.wheelTypes || type === "normal";
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

/** Whether WebGL is drawn by hardware; in software the DOM renderer is the faster one. */
function hasGraphicsCard(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!gl) return false;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|software|basic render/i.test(renderer);
}
