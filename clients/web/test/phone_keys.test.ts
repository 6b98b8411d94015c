import { describe, expect, it } from "vitest";
import { keyBytes, modified } from "../src/phone/keys";
import { Modifiers } from "../src/phone/modifiers";

describe("the key bar's keys", () => {
  it("sends what a keyboard sends, in both forms of the cursor keys", () => {
    expect((["escape", "tab", "back_tab", "page_up", "page_down"] as const).map((key) => keyBytes(key, true))).toEqual(["\x1b", "\t", "\x1b[Z", "\x1b[5~", "\x1b[6~"]);
    expect((["left", "down", "up", "right", "home", "end"] as const).map((key) => keyBytes(key, false))).toEqual(["\x1b[D", "\x1b[B", "\x1b[A", "\x1b[C", "\x1b[H", "\x1b[F"]);
    expect(keyBytes("up", true)).toBe("\x1bOA");
  });

  it("together with Ctrl and Alt", () => {
    expect(modified("c", { ctrl: true, alt: false })).toBe("\x03");
    expect(modified(".", { ctrl: false, alt: true })).toBe("\x1b.");
    expect(modified("x", { ctrl: true, alt: true })).toBe("\x1b\x18");
    expect(modified("é", { ctrl: false, alt: true })).toBe("\x1bé");
    expect(modified("\x1bOA", { ctrl: true, alt: false })).toBe("\x1b[1;5A");
    expect(modified("\x1b[D", { ctrl: false, alt: true })).toBe("\x1b[1;3D");
    expect(modified("\x1b[5~", { ctrl: true, alt: true })).toBe("\x1b[5;7~");
  });

  it("leaves a paste alone", () => {
    expect(modified("rm -rf", { ctrl: true, alt: true })).toBe("rm -rf");
  });
});

describe("Ctrl and Alt on the page", () => {
  it("one tap is for one key", () => {
    const keys = new Modifiers();
    keys.tap("ctrl", 0);
    expect([keys.held, keys.applyTo("c"), keys.held, keys.applyTo("c")]).toEqual([true, "\x03", false, "c"]);
  });

  it("two taps lock until a third", () => {
    const keys = new Modifiers();
    keys.tap("alt", 0);
    keys.tap("alt", 300);
    expect([keys.alt.value, keys.applyTo("b"), keys.applyTo("f")]).toEqual(["locked", "\x1bb", "\x1bf"]);
    keys.tap("alt", 5_000);
    expect(keys.applyTo("b")).toBe("b");
  });

  it("a second tap that comes late lets go, and so does one of another key's in between", () => {
    const keys = new Modifiers();
    keys.tap("ctrl", 0);
    keys.tap("ctrl", 1_000);
    expect(keys.held).toBe(false);
    keys.tap("ctrl", 2_000);
    keys.tap("alt", 2_100);
    expect(keys.applyTo("a")).toBe("\x1b\x01");
  });
});
