/**
 * Fingers on the terminal: one scrolls, two zoom, one that rests selects.
 *
 * The emulator knows mice only. A tap is left to the browser, which makes a
 * click of it.
 */

import type { Screen } from "../terminal/screen";
import { cellOf } from "../terminal/fit";
import { fontAfterPinch } from "./pinch";
import { between, wordAt, type Cell } from "./selection";

const REST_MS = 450;
/** A finger is never quite still. */
const MOVE_PX = 8;

type Gesture =
  | { kind: "pressed"; x: number; y: number }
  | { kind: "scrolling"; x: number; y: number }
  | { kind: "selecting"; from: Cell; to: Cell }
  | { kind: "zooming"; distance: number; font: number }
  | null;

export class Touch {
  readonly #screen: Screen;
  readonly #box: HTMLElement;
  #gesture: Gesture = null;
  #rest: ReturnType<typeof setTimeout> | undefined;
  /** Moved, and not yet a whole line. */
  #partPx = 0;
  readonly #stop = new AbortController();

  constructor(screen: Screen, box: HTMLElement) {
    this.#screen = screen;
    this.#box = box;
    const options = { signal: this.#stop.signal, passive: false } as const;
    box.addEventListener("touchstart", (event) => this.#start(event), options);
    box.addEventListener("touchmove", (event) => this.#move(event), options);
    box.addEventListener("touchend", (event) => this.#end(event), options);
    box.addEventListener("touchcancel", () => this.#forget(), options);
    // The finger that rests would open the browser's menu, and the emulator would take it for a right click.
    box.addEventListener("contextmenu", (event) => this.#gesture && swallow(event), { ...options, capture: true });
  }

  dispose(): void {
    this.#stop.abort();
    this.#forget();
  }

  #start(event: TouchEvent): void {
    clearTimeout(this.#rest);
    const [one, two] = event.touches;
    if (!one) return;
    if (two) {
      event.preventDefault();
      this.#gesture = { kind: "zooming", distance: distance(one, two), font: this.#screen.term.options.fontSize ?? this.#screen.readingSize };
      return;
    }
    this.#gesture = { kind: "pressed", x: one.clientX, y: one.clientY };
    this.#partPx = 0;
    this.#rest = setTimeout(() => this.#rested(one.clientX, one.clientY), REST_MS);
  }

  #move(event: TouchEvent): void {
    const gesture = this.#gesture;
    const [one, two] = event.touches;
    if (!gesture || !one) return;
    if (gesture.kind === "pressed") {
      if (Math.hypot(one.clientX - gesture.x, one.clientY - gesture.y) < MOVE_PX) return;
      clearTimeout(this.#rest);
      this.#gesture = { kind: "scrolling", x: gesture.x, y: gesture.y };
      return this.#move(event);
    }
    event.preventDefault();
    if (gesture.kind === "zooming") {
      if (two) this.#screen.setZoom(fontAfterPinch(gesture.font, distance(one, two) / gesture.distance));
    } else if (gesture.kind === "selecting") {
      gesture.to = this.#cellAt(one.clientX, one.clientY) ?? gesture.to;
      this.#select(gesture.from, gesture.to);
    } else {
      this.#scroll(gesture.x - one.clientX, gesture.y - one.clientY, one);
      [gesture.x, gesture.y] = [one.clientX, one.clientY];
    }
  }

  #end(event: TouchEvent): void {
    // A finger that did something is no click.
    if (this.#gesture && this.#gesture.kind !== "pressed") event.preventDefault();
    if (event.touches.length === 0) this.#forget();
  }

  #forget(): void {
    clearTimeout(this.#rest);
    this.#gesture = null;
  }

  /** First what does not fit into the box, then the lines above; a full-screen program gets the turns of a wheel. */
  #scroll(dx: number, dy: number, { clientX, clientY }: Touch1): void {
    const box = this.#box;
    box.scrollLeft += dx;
    const before = box.scrollTop;
    box.scrollTop += dy;
    const { term } = this.#screen;
    const row = cellOf(term)?.height ?? 16;
    this.#partPx += dy - (box.scrollTop - before);
    const lines = Math.trunc(this.#partPx / row);
    if (lines === 0) return;
    this.#partPx -= lines * row;
    if (term.buffer.active.type === "normal" && term.modes.mouseTrackingMode === "none") return term.scrollLines(lines);
    const wheel = new WheelEvent("wheel", { deltaY: lines, deltaMode: WheelEvent.DOM_DELTA_LINE, clientX, clientY, bubbles: true, cancelable: true });
    term.element?.querySelector(".xterm-screen")?.dispatchEvent(wheel);
  }

  #rested(x: number, y: number): void {
    const at = this.#cellAt(x, y);
    if (!at) return;
    const line = this.#screen.term.buffer.active.getLine(at.row);
    const { start, end } = wordAt((col) => line?.getCell(col)?.getChars() ?? "", at.col, this.#screen.term.cols);
    this.#gesture = { kind: "selecting", from: { row: at.row, col: start }, to: { row: at.row, col: end } };
    this.#select({ row: at.row, col: start }, { row: at.row, col: end });
    navigator.vibrate?.(10);
  }

  #select(from: Cell, to: Cell): void {
    const { start, length } = between(from, to, this.#screen.term.cols);
    this.#screen.term.select(start.col, start.row, length);
  }

  /** The character under the finger, its row counted from the first one kept. */
  #cellAt(x: number, y: number): Cell | null {
    const { term } = this.#screen;
    const cell = cellOf(term);
    const bounds = term.element?.querySelector(".xterm-screen")?.getBoundingClientRect();
    if (!cell || !bounds) return null;
    const within = (value: number, count: number): number => Math.min(count - 1, Math.max(0, Math.floor(value)));
    return { col: within((x - bounds.left) / cell.width, term.cols), row: term.buffer.active.viewportY + within((y - bounds.top) / cell.height, term.rows) };
  }
}

type Touch1 = Pick<globalThis.Touch, "clientX" | "clientY">;

function distance(a: Touch1, b: Touch1): number {
  return Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY));
}

function swallow(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
