import headless from "@xterm/headless";
import { expect, it } from "vitest";
import RANGES from "../src/terminal/widths.json";
import { columnsOf, countAsTheWorker } from "../src/terminal/widths";

it("every code point takes the columns that the table gives it", () => {
  const table = new Uint8Array(0x110000).fill(1);
  for (const [first = 0, last = 0, columns = 1] of RANGES) table.fill(columns, first, last + 1);
  let different = 0;
  for (let code = 0; code < table.length; code++) if (columnsOf(code) !== table[code]) different++;
  expect(different).toBe(0);
  expect(["a", "é", "日", "🙂", "́", "ｱ", "Ａ"].map((char) => columnsOf(char.codePointAt(0) ?? 0))).toEqual([1, 1, 2, 2, 0, 1, 2]);
});

it("the emulator counts with it", async () => {
  const term = new headless.Terminal({ allowProposedApi: true, cols: 20, rows: 2 });
  countAsTheWorker(term);
  await new Promise<void>((parsed) => term.write("e\u0301日🙂|", parsed));
  const line = term.buffer.active.getLine(0);
  expect(line?.translateToString(true)).toBe("e\u0301日🙂|");
  expect(term.buffer.active.cursorX).toBe(6);
  expect(line?.getCell(0)?.getChars()).toBe("e\u0301");
});
