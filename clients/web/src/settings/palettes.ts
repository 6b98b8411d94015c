/** The terminal's colours, each palette in a dark and a light shade. Text reaches 4.5:1 on its ground, 7:1 in high contrast. */

import type { ITheme } from "@xterm/xterm";
import type { Settings, Shade } from "./settings";

export type PaletteName = "baton" | "contrast" | "warm";

/** Every colour is there: a client's facts are told from them. */
type Palette = ITheme & { background: string; foreground: string; cursor: string };

interface Choice {
  label: string;
  dark: Palette;
  light: Palette;
}

const BATON: Choice = {
  label: "Baton",
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

const CONTRAST: Choice = {
  label: "High contrast",
  dark: {
    background: "#000000", foreground: "#ffffff", cursor: "#ffff00", cursorAccent: "#000000", selectionBackground: "#004a9e",
    black: "#000000", red: "#ff9a93", green: "#6cf09a", yellow: "#ffe066", blue: "#9cc9ff", magenta: "#f0b0ff", cyan: "#7df0f5", white: "#f2f2f2",
    brightBlack: "#b0b0b0", brightRed: "#ffb8b3", brightGreen: "#9dffc0", brightYellow: "#fff09a", brightBlue: "#bfdcff", brightMagenta: "#f8ccff", brightCyan: "#b0fbff", brightWhite: "#ffffff",
  },
  light: {
    background: "#ffffff", foreground: "#000000", cursor: "#7a0000", cursorAccent: "#ffffff", selectionBackground: "#ffd75e",
    black: "#000000", red: "#8f0a04", green: "#004d1e", yellow: "#5a3b00", blue: "#003a8c", magenta: "#5f1182", cyan: "#004650", white: "#3f3f3f",
    brightBlack: "#4a4a4a", brightRed: "#9c1008", brightGreen: "#005723", brightYellow: "#644200", brightBlue: "#00459f", brightMagenta: "#6c1893", brightCyan: "#00505c", brightWhite: "#1a1a1a",
  },
};

const WARM: Choice = {
  label: "Warm",
  dark: {
    background: "#1c1814", foreground: "#e8ddcb", cursor: "#ffb454", cursorAccent: "#1c1814", selectionBackground: "#52432f",
    black: "#3a332b", red: "#f28b74", green: "#b5c46a", yellow: "#e9b95c", blue: "#8fb6d6", magenta: "#d3a3c4", cyan: "#8fc4ae", white: "#d9cdb9",
    brightBlack: "#96897a", brightRed: "#ffa590", brightGreen: "#cbd984", brightYellow: "#f6cd7c", brightBlue: "#abcde9", brightMagenta: "#e4bcd8", brightCyan: "#abdac6", brightWhite: "#f8f0e2",
  },
  light: {
    background: "#faf4e8", foreground: "#33291d", cursor: "#8a4600", cursorAccent: "#faf4e8", selectionBackground: "#e9d6ae",
    black: "#33291d", red: "#a3281a", green: "#4d6310", yellow: "#7a5000", blue: "#245a8a", magenta: "#833a70", cyan: "#1a6552", white: "#655a4a",
    brightBlack: "#6b604f", brightRed: "#b13325", brightGreen: "#566c14", brightYellow: "#835800", brightBlue: "#2c6498", brightMagenta: "#8f447b", brightCyan: "#20705c", brightWhite: "#463b2c",
  },
};

export const PALETTES: Readonly<Record<PaletteName, Choice>> = { baton: BATON, contrast: CONTRAST, warm: WARM };

export function isPalette(name: unknown): name is PaletteName {
  return typeof name === "string" && Object.hasOwn(PALETTES, name);
}

export function paletteOf({ palette }: Pick<Settings, "palette">, shade: Shade): Palette {
  return PALETTES[palette][shade];
}
