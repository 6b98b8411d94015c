import { describe, expect, it } from "vitest";
import { PALETTES, paletteOf, type PaletteName } from "../src/settings/palettes";
import { checked, DEFAULTS, fontFamily, plainFont, type Settings } from "../src/settings/settings";

describe("settings", () => {
  it("that were kept are read again", () => {
    const chosen: Settings = {
      theme: "light", palette: "warm", font_family: "Fira Code, Menlo", font_px: 17, line_height: 1.3, cursor: "bar", cursor_blink: false, scrollback: 50_000,
      bell: "flash", screen_reader: true, option_as_meta: false, copy_on_select: true, clipboard: "deny", paste_guard: false, echo: "never",
    };
    expect(checked(JSON.parse(JSON.stringify(chosen)) as object)).toEqual(chosen);
  });

  it("that are none are as they were made, one by one", () => {
    expect(checked({})).toEqual(DEFAULTS);
    const nonsense = { theme: "pink", palette: "constructor", font_family: 3, font_px: "14", line_height: 99, cursor: null, scrollback: 1e9, bell: true, screen_reader: "yes", clipboard: "", paste_guard: 0, echo: [] };
    expect(checked(nonsense)).toEqual(DEFAULTS);
    expect(checked({ font_px: 1e9 }).font_px).toBe(28);
    expect(checked({ font_px: Number.NaN }).font_px).toBe(14);
    expect(checked({ echo: "always", palette: "nothing" })).toEqual({ ...DEFAULTS, echo: "always" });
  });

  it("name fonts, and no rules of a style sheet", () => {
    expect(plainFont('Menlo"; } body { display: none } /* ')).not.toMatch(/["';{}:/*]/);
    expect(fontFamily({ font_family: "Fira Code,,  Menlo " })).toMatch(/^"Fira Code", "Menlo", ui-monospace, .*monospace$/);
    expect(fontFamily({ font_family: "" })).toMatch(/^ui-monospace/);
    expect(plainFont("x".repeat(500)).length).toBe(100);
  });
});

describe("palettes", () => {
  const TEXT = ["foreground", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "brightBlack", "brightRed", "brightGreen", "brightYellow", "brightBlue", "brightMagenta", "brightCyan", "brightWhite"] as const;
  for (const palette of Object.keys(PALETTES) as PaletteName[]) {
    for (const shade of ["dark", "light"] as const) {
      it(`${palette}, ${shade}: text can be read`, () => {
        const colours = paletteOf({ palette }, shade);
        const least = palette === "contrast" ? 7 : 4.5;
        for (const name of TEXT) expect(contrast(colours[name] ?? "", colours.background), name).toBeGreaterThanOrEqual(least);
        expect(contrast(colours.foreground, colours.selectionBackground ?? ""), "marked").toBeGreaterThanOrEqual(4.5);
        expect(contrast(colours.cursor, colours.background), "cursor").toBeGreaterThanOrEqual(3);
      });
    }
  }
});

/** WCAG 2.1, relative luminance. */
function contrast(a: string, b: string): number {
  const [bright = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (bright + 0.05) / (dark + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
