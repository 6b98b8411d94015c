import headless from "@xterm/headless";
import { describe, expect, it } from "vitest";
import { guard } from "../src/terminal/guards";

const COLS = 21;
const ROWS = 6;
const make = (guarded: boolean): headless.Terminal => {
  const term = new headless.Terminal({ allowProposedApi: true, cols: COLS, rows: ROWS, scrollback: 0 });
  if (guarded) guard(term);
  return term;
};
const feed = (term: headless.Terminal, text: string): Promise<void> => new Promise((parsed) => term.write(text, parsed));
const screen = (term: headless.Terminal): string[] => [
  ...Array.from({ length: ROWS }, (_, row) => term.buffer.active.getLine(term.buffer.active.baseY + row)?.translateToString(false) ?? ""),
  `${String(term.buffer.active.cursorX)},${String(term.buffer.active.cursorY)}`,
];
const FILL = Array.from({ length: ROWS }, (_, row) => `line ${String(row)}`).join("\r\n");

describe("guards", () => {
  for (const final of ["S", "T", "L", "M", "I", "Z"]) {
    it(`a count of thousands does what it did: CSI ${final}`, async () => {
      const [plain, guarded] = [make(false), make(true)];
      for (const term of [plain, guarded]) await feed(term, `${FILL}\x1b[3;7H\x1b[4321${final}x`);
      expect(screen(guarded)).toEqual(screen(plain));
    });
  }

  for (const [what, count] of [["a", 5000], ["a", 5007], ["a", 459], ["a", 461], ["世", 5003], ["世", 2222]] as const) {
    it(`REP of ${what}, ${String(count)} times, ends where it did`, async () => {
      const [plain, guarded] = [make(false), make(true)];
      for (const term of [plain, guarded]) await feed(term, `\x1b[2;4H${what}\x1b[${String(count)}b`);
      expect(screen(guarded)).toEqual(screen(plain));
    });
  }

  it("the largest count is over at once", async () => {
    const term = make(true);
    const begun = performance.now();
    for (const final of ["S", "T", "L", "M", "I", "Z", "b"]) await feed(term, `x\x1b[2147483647${final}`);
    // Minutes without the guard.
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  it("CSI 1 J in the last cell leaves the terminal alive", async () => {
    const term = make(true);
    await feed(term, `${FILL}\x1b[99;99H\x1b[1J`);
    await feed(term, "\x1b[Hstill here");
    expect(screen(term)[0]?.trim()).toBe("still here");
    expect(screen(term)[5]?.trim()).toBe("");
  });
});
