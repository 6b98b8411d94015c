/**
 * A session's screen as a small picture: what to paint where.
 *
 * A cell is too small for its letter, so each becomes a block of its colour.
 */

import type { ITheme } from "@xterm/xterm";

/** A screen as the bridge tells it (`format=json`); only what a picture needs. */
export interface ScreenAnswer {
  cols: number;
  rows: number;
  lines: readonly { runs: readonly ScreenRun[] }[];
}

export interface ScreenRun {
  text: string;
  width?: number;
  cluster?: boolean;
  fg?: number | string;
  bg?: number | string;
  dim?: boolean;
  inverse?: boolean;
  hidden?: boolean;
}

/** Cells of one row and colour, side by side. `ink` is whether something is written in them. */
export interface Block {
  row: number;
  col: number;
  cells: number;
  colour: string;
  ink: boolean;
  dim: boolean;
}

const ANSI = [
  "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
  "brightBlack", "brightRed", "brightGreen", "brightYellow", "brightBlue", "brightMagenta", "brightCyan", "brightWhite",
] as const satisfies readonly (keyof ITheme)[];

/** A session may be 2000 columns wide; nobody sees a cell of that. */
const COLS_MAX = 240;
const ROWS_MAX = 80;

/** Every block of a screen: the grounds first, then what is written on them. */
export function blocksOf({ lines }: ScreenAnswer, theme: ITheme): Block[] {
  const grounds: Block[] = [];
  const written: Block[] = [];
  lines.slice(0, ROWS_MAX).forEach(({ runs }, row) => {
    let col = 0;
    for (const run of runs) {
      if (col >= COLS_MAX) break;
      const width = run.width ?? 1;
      const letters = run.cluster ? [run.text] : [...run.text];
      const cells = letters.length * width;
      const [ink, ground] = coloursOf(run, theme);
      if (ground !== null) grounds.push({ row, col, cells, colour: ground, ink: false, dim: false });
      if (!run.hidden) addWords(written, letters, { row, col, width, colour: ink, dim: run.dim === true });
      col += cells;
    }
  });
  return [...grounds, ...written];
}

function addWords(blocks: Block[], letters: readonly string[], at: { row: number; col: number; width: number; colour: string; dim: boolean }): void {
  const { row, col, width, colour, dim } = at;
  let begun: number | null = null;
  for (let index = 0; index <= letters.length; index++) {
    const isWritten = (letters[index] ?? " ").trim() !== "";
    if (isWritten) begun ??= index;
    else if (begun !== null) {
      blocks.push({ row, col: col + begun * width, cells: (index - begun) * width, colour, ink: true, dim });
      begun = null;
    }
  }
}

/** What a run is written with, and its ground where that is not the terminal's own. */
function coloursOf({ fg, bg, inverse }: ScreenRun, theme: ITheme): [ink: string, ground: string | null] {
  const ink = colourOf(fg, theme) ?? theme.foreground ?? "#888888";
  const ground = colourOf(bg, theme);
  return inverse ? [ground ?? theme.background ?? "#000000", ink] : [ink, ground];
}

function colourOf(colour: number | string | undefined, theme: ITheme): string | null {
  if (colour === undefined) return null;
  if (typeof colour === "string") return /^#[0-9a-f]{6}$/i.test(colour) ? colour : null;
  const name = ANSI[colour];
  if (name !== undefined) return theme[name] ?? null;
  if (colour >= 232) return grey(8 + 10 * (colour - 232));
  const cube = colour - 16;
  return rgb(Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6);
}

function rgb(...steps: readonly number[]): string {
  return `rgb(${steps.map((step) => (step === 0 ? 0 : 55 + 40 * step)).join(" ")})`;
}

function grey(level: number): string {
  return `rgb(${level} ${level} ${level})`;
}

/** Paints a screen into a canvas of this size, as large as it fits without changing a cell's form. */
export function paint(context: CanvasRenderingContext2D, size: { width: number; height: number }, screen: ScreenAnswer, theme: ITheme): void {
  context.fillStyle = theme.background ?? "#000000";
  context.fillRect(0, 0, size.width, size.height);
  // A cell is twice as high as it is wide.
  const width = Math.min(size.width / Math.min(screen.cols, COLS_MAX), size.height / (2 * Math.min(screen.rows, ROWS_MAX)));
  const height = 2 * width;
  for (const { row, col, cells, colour, ink, dim } of blocksOf(screen, theme)) {
    context.globalAlpha = ink ? (dim ? 0.45 : 0.85) : 1;
    context.fillStyle = colour;
    if (ink) context.fillRect(col * width, (row + 0.2) * height, cells * width, height * 0.55);
    else context.fillRect(col * width, row * height, cells * width, height);
  }
  context.globalAlpha = 1;
}
