import { describe, expect, it } from "vitest";
import { originOf, withCtrl, type Origin } from "../src/terminal/replies";

const CASES: Record<Origin, readonly string[]> = {
  typed: [
    "a", "é", "日本", "\r", "\t", "\x03", "\x1b", "\x7f", "ls -la\r",
    "\x1b[A", "\x1bOA", "\x1b[1;5D", "\x1b[3~", "\x1b[Z", "\x1b[H", "\x1bOP", "\x1b[15~",
    "\x1b[1;2R", // Shift+F3
    "\x1bb", "\x1b]", "\x1bP", "\x1b_", "\x1b[", // Alt with a key
    "\x1b[200~pasted\x1b[201~", "\x1b[200~\x1b[c\x1b[201~",
  ],
  report: ["\x1b[I", "\x1b[O", "\x1b[<0;12;7M", "\x1b[<0;12;7m", "\x1b[<35;1;1M\x1b[<35;2;1M", "\x1b[M !!", "\x1b[32;10;5M"],
  reply: [
    "\x1b[?1;2c", "\x1b[>0;276;0c", "\x1b[?62;4c", "\x1b[0n", "\x1b[?13n", "\x1b[24;80R", "\x1b[?1;1R", "\x1b[?1;1;1R",
    "\x1b[?2026;2$y", "\x1b[4;2$y", "\x1b[8;24;80t", "\x1b[4;600;800t", "\x1b[6;16;8t", "\x1b[?0u",
    "\x1b]11;rgb:0d0d/1010/1414\x1b\\", "\x1b]4;1;rgb:ff/00/00\x07", "\x1bP1$r0m\x1b\\", "\x1bP>|term\x1b\\", "\x1b_Gi=1;OK\x1b\\",
  ],
};

describe("what came from a person", () => {
  for (const [origin, samples] of Object.entries(CASES)) {
    for (const sample of samples) it(`${JSON.stringify(sample)} is ${origin}`, () => expect(originOf(sample)).toBe(origin));
  }
});

it("Ctrl from the key bar makes control characters and leaves other keys alone", () => {
  expect(["c", "C", "[", " ", "?", "1", "\x1b[A"].map(withCtrl)).toEqual(["\x03", "\x03", "\x1b", "\x00", "\x7f", "1", "\x1b[A"]);
});
