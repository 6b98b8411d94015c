import { describe, expect, it } from "vitest";
import { score } from "../src/palette/fuzzy";
import { opensPalette } from "../src/palette/palette_keys";
import { ranked, type PaletteItem } from "../src/palette/ranking";

const item = (label: string, more: Partial<PaletteItem> = {}): PaletteItem => ({ key: label, kind: "action", label, run: () => undefined, ...more });
const labels = (items: readonly PaletteItem[], typed: string, recent: string[] = []): string[] => ranked(items, typed, recent).map(({ label }) => label);

describe("finding", () => {
  it("fits letters in their order, and every word", () => {
    expect(score("nso", ["New session with options…"])).not.toBeNull();
    expect(score("sesion", ["New session"])).not.toBeNull();
    expect(score("zzz", ["New session"])).toBeNull();
    expect(score("web 42", ["web build", "ticket=42"])).not.toBeNull();
    expect(score("web 43", ["web build", "ticket=42"])).toBeNull();
  });

  it("does not fit letters that are strewn over a long text", () => {
    expect(score("vim", ["x", "a river winding slowly home"])).toBeNull();
  });

  it("puts the beginning of a word before its middle, and a name before a folder", () => {
    expect(labels([item("archive"), item("the hive"), item("hive")], "hive")).toEqual(["hive", "the hive", "archive"]);
    expect(labels([item("other", { words: ["/src/build"] }), item("build")], "build")).toEqual(["build", "other"]);
  });

  it("puts what was chosen lately first, and keeps the rest in its order", () => {
    const items = [item("a"), item("b"), item("c"), item("d", { typedOnly: true })];
    expect(labels(items, "", ["c", "b"])).toEqual(["c", "b", "a"]);
    expect(labels(items, "d")).toEqual(["d"]);
  });

  it("lists a bounded number", () => {
    const many = Array.from({ length: 500 }, (_, index) => item(`session ${index}`));
    expect(labels(many, "")).toHaveLength(50);
    expect(labels(many, "session")).toHaveLength(50);
  });
});

describe("the keys of the palette", () => {
  const press = (code: string, keys: string, inTerminal: boolean): boolean =>
    opensPalette({ code, ctrlKey: keys.includes("c"), metaKey: keys.includes("m"), shiftKey: keys.includes("s"), altKey: keys.includes("a") }, inTerminal);

  it("leave Ctrl+K and Ctrl+P to the shell", () => {
    expect(press("KeyK", "c", true)).toBe(false);
    expect(press("KeyP", "c", true)).toBe(false);
    expect(press("KeyP", "c", false)).toBe(false);
  });

  it("are Ctrl+K elsewhere, and with Shift or Cmd anywhere", () => {
    expect(press("KeyK", "c", false)).toBe(true);
    for (const inTerminal of [true, false]) {
      for (const [code, keys] of [["KeyK", "cs"], ["KeyP", "cs"], ["KeyK", "m"], ["KeyK", "ms"]] as const) expect(press(code, keys, inTerminal), code + keys).toBe(true);
      for (const [code, keys] of [["KeyK", ""], ["KeyK", "s"], ["KeyK", "cm"], ["KeyK", "ca"], ["KeyX", "cs"]] as const) expect(press(code, keys, inTerminal), code + keys).toBe(false);
    }
  });
});
