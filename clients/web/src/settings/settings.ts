/** What only matters to this screen, and stays in this browser. */

import type { ITheme } from "@xterm/xterm";
import { readStored, writeStored } from "../access/identity";

export type Shade = "dark" | "light";

export interface Settings {
  theme: "system" | Shade;
  font_px: number;
  screen_reader: boolean;
}

const KEY = "baton.settings";
export const FONT_PX = { least: 9, most: 28 } as const;
const DEFAULTS: Settings = { theme: "system", font_px: 14, screen_reader: false };

export const FONT_FAMILY =
  'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace';

export function loadSettings(): Settings {
  const stored = parse(readStored(KEY));
  const { theme, font_px, screen_reader } = stored;
  return {
    theme: theme === "dark" || theme === "light" ? theme : DEFAULTS.theme,
    font_px: typeof font_px === "number" ? clampFont(font_px) : DEFAULTS.font_px,
    screen_reader: screen_reader === true,
  };
}

export function saveSettings(settings: Settings): void {
  writeStored(KEY, JSON.stringify(settings));
}

export function clampFont(px: number): number {
  return Math.min(FONT_PX.most, Math.max(FONT_PX.least, Math.round(px)));
}

function parse(text: string | null): Partial<Record<keyof Settings, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

export const TERMINAL_THEMES: Readonly<Record<Shade, ITheme>> = {
  dark: {
    background: "#0d1014",
    foreground: "#dfe4ea",
    cursor: "#f2b866",
    cursorAccent: "#0d1014",
    selectionBackground: "#2f4a6b",
    black: "#2a313a",
    red: "#f0857f",
    green: "#7cc98f",
    yellow: "#e2bd72",
    blue: "#77aef5",
    magenta: "#c99bea",
    cyan: "#6fc7cf",
    white: "#cfd6de",
    brightBlack: "#7d8894",
    brightRed: "#ff9f99",
    brightGreen: "#9be0ab",
    brightYellow: "#f3d391",
    brightBlue: "#9cc6ff",
    brightMagenta: "#dcb9f5",
    brightCyan: "#95dde3",
    brightWhite: "#f6f8fa",
  },
  light: {
    background: "#ffffff",
    foreground: "#1c2229",
    cursor: "#8a5200",
    cursorAccent: "#ffffff",
    selectionBackground: "#bcd6f7",
    black: "#1c2229",
    red: "#b3261e",
    green: "#1b6e3c",
    yellow: "#7a5200",
    blue: "#1a56b4",
    magenta: "#7a36a8",
    cyan: "#0d6570",
    white: "#59636e",
    brightBlack: "#5b6570",
    brightRed: "#c93a31",
    brightGreen: "#237f48",
    brightYellow: "#8a5f00",
    brightBlue: "#2766c8",
    brightMagenta: "#8c49b9",
    brightCyan: "#177481",
    brightWhite: "#3a434c",
  },
};
