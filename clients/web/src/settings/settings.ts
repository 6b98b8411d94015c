/** What only matters to this screen, and stays in this browser. What is read is checked: storage is anybody's on this origin. */

import { readStored, writeStored } from "../access/identity";
import { isPalette, type PaletteName } from "./palettes";

export type Shade = "dark" | "light";
/** `auto`: while the way to the program and back takes long. */
export type EchoPolicy = "auto" | "always" | "never";
/** Whether a program may put text on the clipboard (OSC 52). */
export type ClipboardPolicy = "ask" | "allow" | "deny";

export interface Settings {
  theme: "system" | Shade;
  palette: PaletteName;
  /** Families, the most wanted first; empty for those of the system. */
  font_family: string;
  font_px: number;
  line_height: number;
  cursor: "block" | "bar" | "underline";
  cursor_blink: boolean;
  scrollback: number;
  bell: "none" | "flash";
  screen_reader: boolean;
  option_as_meta: boolean;
  copy_on_select: boolean;
  clipboard: ClipboardPolicy;
  paste_guard: boolean;
  echo: EchoPolicy;
}

const KEY = "baton.settings";
export const FONT_PX = { least: 9, most: 28 } as const;
export const LINE_HEIGHTS = [1, 1.15, 1.3, 1.5] as const;
export const SCROLLBACKS = [1_000, 10_000, 50_000] as const;
const FONT_CHARS_MAX = 100;

export const DEFAULTS: Settings = {
  theme: "system",
  palette: "baton",
  font_family: "",
  font_px: 14,
  // At 1.0 some fonts lose their underscores to the row below.
  line_height: 1.15,
  cursor: "block",
  cursor_blink: false,
  scrollback: 10_000,
  bell: "none",
  screen_reader: false,
  option_as_meta: true,
  copy_on_select: false,
  clipboard: "ask",
  paste_guard: true,
  echo: "auto",
};

const SYSTEM_FONTS =
  'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace';

/** Names that are offered; which of them a machine has the page is not told. */
export const FONTS = ["Cascadia Mono", "Consolas", "DejaVu Sans Mono", "Fira Code", "IBM Plex Mono", "JetBrains Mono", "Menlo", "SF Mono", "Ubuntu Mono"] as const;

export function loadSettings(): Settings {
  return checked(parse(readStored(KEY)));
}

/** Settings of what was read: whatever is none of the known values is as it was made. */
export function checked(read: Partial<Record<keyof Settings, unknown>>): Settings {
  const one = <K extends keyof Settings>(key: K, values: readonly Settings[K][]): Settings[K] =>
    values.find((value) => value === read[key]) ?? DEFAULTS[key];
  const yes = (key: "cursor_blink" | "screen_reader" | "option_as_meta" | "copy_on_select" | "paste_guard"): boolean => one(key, [true, false]);
  return {
    theme: one("theme", ["system", "dark", "light"]),
    palette: isPalette(read.palette) ? read.palette : DEFAULTS.palette,
    font_family: typeof read.font_family === "string" ? plainFont(read.font_family) : DEFAULTS.font_family,
    font_px: typeof read.font_px === "number" && Number.isFinite(read.font_px) ? clampFont(read.font_px) : DEFAULTS.font_px,
    line_height: one("line_height", LINE_HEIGHTS),
    cursor: one("cursor", ["block", "bar", "underline"]),
    cursor_blink: yes("cursor_blink"),
    scrollback: one("scrollback", SCROLLBACKS),
    bell: one("bell", ["none", "flash"]),
    screen_reader: yes("screen_reader"),
    option_as_meta: yes("option_as_meta"),
    copy_on_select: yes("copy_on_select"),
    clipboard: one("clipboard", ["ask", "allow", "deny"]),
    paste_guard: yes("paste_guard"),
    echo: one("echo", ["auto", "always", "never"]),
  };
}

export function saveSettings(settings: Settings): void {
  writeStored(KEY, JSON.stringify(settings));
}

export function clampFont(px: number): number {
  return Math.min(FONT_PX.most, Math.max(FONT_PX.least, Math.round(px)));
}

/** Names of families and commas: it becomes part of a style sheet. */
export function plainFont(text: string): string {
  return text.replace(/[^\p{L}\p{N} ,_-]/gu, "").slice(0, FONT_CHARS_MAX);
}

/** What the emulator draws with; the system's own families stand behind whatever is wanted. */
export function fontFamily({ font_family }: Pick<Settings, "font_family">): string {
  const wanted = plainFont(font_family).split(",").map((name) => name.trim()).filter((name) => name !== "");
  return [...wanted.map((name) => `"${name}"`), SYSTEM_FONTS].join(", ");
}

function parse(text: string | null): Partial<Record<keyof Settings, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
