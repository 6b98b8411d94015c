import { describe, expect, it } from "vitest";
import { Keyboard } from "../src/phone/keyboard";
import { fontAfterPinch, PINCH_PX } from "../src/phone/pinch";
import { between, wordAt } from "../src/phone/selection";

describe("a phone's keyboard", () => {
  const portrait = { width: 375, height: 812 };

  it("covers what is missing of the height while somebody types", () => {
    const keyboard = new Keyboard();
    expect(keyboard.look({ ...portrait, typing: false })).toBe(0);
    expect(keyboard.look({ width: 375, height: 480, typing: true })).toBe(332);
    expect(keyboard.look({ ...portrait, typing: true })).toBe(0);
  });

  it("is none where nobody types, and no address bar that comes and goes", () => {
    const keyboard = new Keyboard();
    keyboard.look({ ...portrait, typing: false });
    expect(keyboard.look({ width: 375, height: 480, typing: false })).toBe(0);
    expect(keyboard.look({ width: 375, height: 750, typing: true })).toBe(0);
  });

  it("stays open when the phone is turned", () => {
    const keyboard = new Keyboard();
    keyboard.look({ ...portrait, typing: false });
    keyboard.look({ width: 375, height: 512, typing: true });
    expect(keyboard.look({ width: 812, height: 175, typing: true })).toBe(300);
    expect(keyboard.look({ width: 812, height: 375, typing: false })).toBe(0);
  });

  it("turned without one the other way is just lower", () => {
    const keyboard = new Keyboard();
    keyboard.look({ ...portrait, typing: true });
    expect(keyboard.look({ width: 812, height: 375, typing: true })).toBe(0);
  });
});

describe("fingers", () => {
  it("zoom in quarters, within bounds", () => {
    expect(fontAfterPinch(14, 1.5)).toBe(21);
    expect(fontAfterPinch(14, 1.01)).toBe(14.25);
    expect([fontAfterPinch(14, 100), fontAfterPinch(14, 0), fontAfterPinch(14, Number.NaN)]).toEqual([PINCH_PX.most, PINCH_PX.least, 14]);
  });

  it("select words as paths and addresses are read", () => {
    const line = 'see "src/a.ts:12" (or http://x/y?z=1) now';
    const word = (at: string): string => {
      const { start, end } = wordAt((col) => line[col] ?? "", line.indexOf(at), line.length);
      return line.slice(start, end + 1);
    };
    expect(["a.ts", "x/y", "now", "see"].map(word)).toEqual(["src/a.ts:12", "http://x/y?z=1", "now", "see"]);
    expect(wordAt((col) => line[col] ?? "", 3, line.length)).toEqual({ start: 3, end: 3 });
  });

  it("select from one place to another, in either direction", () => {
    const [a, b] = [{ row: 4, col: 70 }, { row: 6, col: 2 }];
    expect(between(a, b, 80)).toEqual({ start: a, length: 93 });
    expect(between(b, a, 80)).toEqual(between(a, b, 80));
  });
});
