import { describe, expect, it } from "vitest";
import { diffRows, differing, type Row } from "../src/approvals/diff";
import { base64Of, bytesOf, typedBytes, typedText } from "../src/approvals/typed_text";

describe("bytes to be typed", () => {
  it("are read back as they were, whatever they are", () => {
    const every = Uint8Array.from({ length: 256 }, (_, index) => index);
    const mixed = new TextEncoder().encode("ls -l 'ä🦀'\r\x1b[A\\n \u{202e}\u{feff}");
    for (const bytes of [every, every.toReversed(), mixed, Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xf0, 0x9f, 0xa6, 0x80, 0xff)]) {
      const text = typedText(bytes);
      expect([...typedBytes(text)]).toEqual([...bytes]);
      expect(text).not.toMatch(/[\p{Cc}\u{202e}\u{feff}]/u);
      expect([...bytesOf(base64Of(bytes))]).toEqual([...bytes]);
    }
    expect(typedText(new TextEncoder().encode("rm x\r\x1b[2J\\"))).toBe("rm x\\r\\x1b[2J\\\\");
  });

  it("an escape that means nothing is refused, not guessed", () => {
    for (const wrong of ["a\\", "\\q", "\\x1", "\\u{110000}", "\\u{}"]) expect(() => typedBytes(wrong), wrong).toThrow(/means nothing/);
  });
});

describe("a diff", () => {
  const signs: Readonly<Record<Row["kind"], string>> = { same: " ", gone: "-", new: "+", skip: "~" };
  const written = (before: string, after: string): string[] =>
    diffRows(before, after).map((row) => signs[row.kind] + (row.kind === "skip" ? row.lines : row.text));

  it("tells what is gone and what is new, with a little around it", () => {
    const before = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].join("\n");
    expect(written(before, before.replace("6", "six"))).toEqual(["~2", " 3", " 4", " 5", "-6", "+six", " 7", " 8", " 9"]);
    expect(written("a\nb", "a\nx\nb")).toEqual([" a", "+x", " b"]);
    expect(written("a", "a")).toEqual([]);
    expect(written("", "a")).toEqual(["-", "+a"]);
  });

  it("is both texts, whatever they are", () => {
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
    for (let round = 0; round < 300; round++) {
      const lines = (): string[] => Array.from({ length: 1 + random(9) }, () => "abc"[random(3)] ?? "");
      const [before, after] = [lines(), lines()];
      const rows = diffRows(before.join("\n"), after.join("\n"));
      if (rows.some(({ kind }) => kind === "skip")) continue;
      const of = (...kinds: Row["kind"][]): string[] => rows.flatMap((row) => (row.kind !== "skip" && kinds.includes(row.kind) ? [row.text] : []));
      if (before.join() === after.join()) expect(rows).toEqual([]);
      else {
        expect(of("same", "gone")).toEqual(before);
        expect(of("same", "new")).toEqual(after);
      }
    }
  });

  it("marks what differs in a line, and cuts no character in half", () => {
    expect(diffRows("git push", "git pull")).toEqual([
      { kind: "gone", text: "git push", mark: [6, 8] },
      { kind: "new", text: "git pull", mark: [6, 8] },
    ]);
    // Both begin with the same half.
    expect(differing("a🦀b", "a🦁b")).toEqual([1, 3]);
    expect(differing("same", "same")).toBeNull();
  });

  it("of very long texts is one change, at once", () => {
    const long = (word: string): string => Array.from({ length: 20_000 }, (_, index) => word + index).join("\n");
    const begun = performance.now();
    expect(diffRows(long("a"), long("b"))).toHaveLength(40_000);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});
