import { describe, expect, it } from "vitest";
import { plainName } from "../src/lease/names";
import { hasHidden, pieces, plain, plainJson, plainLine, plainText, preview } from "../src/ui/plain_text";

describe("text that somebody decides about", () => {
  it("names what is not seen, and leaves alone what is", () => {
    const seen = "a ~äß漢字🦀e\u{301}ا\u{5d0}…";
    expect(pieces(seen, "exact")).toEqual([{ text: seen, named: false }]);
    for (const hidden of ["\0", "\t", "\r", "\x1b", "\x7f", "\u{9b}", "\u{a0}", "\u{200b}", "\u{202e}", "\u{2028}", "\u{2066}", "\u{3164}", "\u{feff}", "\u{e0041}"]) {
      const shown = pieces(`a${hidden}b`, "exact");
      expect(shown.map(({ named }) => named)).toEqual([false, true, false]);
      expect(shown[1]?.text).toMatch(/^\\[\x21-\x7e]+$/);
    }
    expect(plain("a\u{202e}b\x1b[2J", "exact")).toBe("a\\u{202e}b\\x1b[2J");
  });

  it("a line end is named, and ends the line", () => {
    expect(pieces("one\ntwo", "exact").map(({ text }) => text).join("")).toBe("one\\n\ntwo");
  });

  it("blanks that push the rest away are counted", () => {
    expect(plain(`echo a${" ".repeat(400)}; rm b`, "exact")).toBe("echo a⟨400 spaces⟩; rm b");
    expect(plain("a        b", "exact")).toBe("a        b");
  });

  it("is shown whole, and in no more pieces than a page can bear", () => {
    const text = "a\u{200b}".repeat(60_000);
    const shown = pieces(text, "exact");
    expect(shown.length).toBeLessThan(3_000);
    expect(shown.map((piece) => piece.text).join("")).toBe("a\\u{200b}".repeat(60_000));
  });

  it("begins on one line that says how much is missing", () => {
    expect(preview("short", 10)).toBe("short");
    expect(preview("one\ntwo", 10)).toBe("one\\ntwo");
    expect(preview("🦀".repeat(12), 10)).toBe(`${"🦀".repeat(10)}… (+4 characters)`);
  });
});

describe("text of several lines", () => {
  it("keeps the layout that its line ends, tabs and indents are", () => {
    expect(pieces("a\u202eb\x1b\x07c\r\n\td", "lines").map(({ text }) => text)).toEqual(["a", "\\u{202e}", "b", "\\x1b\\x07", "c", "\\r", "\n\td"]);
    expect(plain(`if x:\n${" ".repeat(12)}y`, "lines")).toBe(`if x:\n${" ".repeat(12)}y`);
    expect(plainJson({ text: "a\u202eb" })).toBe('{\n  "text": "a\\u{202e}b"\n}');
  });

  it("hides nothing when it is ordinary, and something when it is not", () => {
    expect(["one\n\ttwo", "naïve 日本", "👩‍💻 ❤️ 👩🏽‍🚀"].map(hasHidden)).toEqual([false, false, false]);
    expect(["a\u{200b}", "a\u{a0}b", "a\u{200d}b", "a\u{fe0f}", "\x1b[201~", "\r"].map(hasHidden)).toEqual([true, true, true, true, true, true]);
  });
});

describe("text in a row", () => {
  it("is one line in which line ends are named too", () => {
    expect(plainText("rm -rf \u202etxt.exe\u0007\u200b\u{e0041}\n")).toBe("rm -rf \\u{202e}txt.exe\\x07\\u{200b}\\u{e0041}\\n");
    expect(plainText("naïve 日本 👩‍💻")).toBe("naïve 日本 👩‍💻");
    expect(plainText("x".repeat(5000))).toBe(`${"x".repeat(300)}…`);
  });

  it("is as short as it has to be, in whole characters", () => {
    expect(plainLine("one\ntwo   ", 20)).toBe("one two");
    expect(plainLine("x".repeat(30), 5)).toBe("xxxx…");
    expect(plainLine("🦀".repeat(30), 5)).toBe("🦀🦀🦀🦀…");
    expect([plainName("a\u202eb\u200b\u0007"), [...plainName("x".repeat(500))].length]).toEqual(["a\\u{202e}b\\u{200b}\\x07", 60]);
  });
});
