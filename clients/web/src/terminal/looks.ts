/** How a terminal looks, from what this screen's user chose. */

import type { ITerminalOptions, Terminal } from "@xterm/xterm";
import { paletteOf } from "../settings/palettes";
import { fontFamily, type Settings, type Shade } from "../settings/settings";

export function looksOf(settings: Settings, shade: Shade) {
  return {
    cursorBlink: settings.cursor_blink && !matchMedia("(prefers-reduced-motion: reduce)").matches,
    cursorStyle: settings.cursor,
    fontFamily: fontFamily(settings),
    fontSize: settings.font_px,
    lineHeight: settings.line_height,
    minimumContrastRatio: settings.palette === "contrast" ? 7 : 4.5,
    screenReaderMode: settings.screen_reader,
    theme: paletteOf(settings, shade),
  } satisfies ITerminalOptions;
}

/** Changes the looks of a terminal that is there: only what differs, for each change draws everything anew. */
export function dress(term: Terminal, settings: Settings, shade: Shade): void {
  const { fontSize: _, ...looks } = looksOf(settings, shade);
  for (const [name, value] of Object.entries(looks)) {
    if (term.options[name as keyof typeof looks] !== value) Object.assign(term.options, { [name]: value });
  }
}
