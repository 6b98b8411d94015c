import headless from "@xterm/headless";
import { describe, expect, it } from "vitest";
import { swallowQueries } from "../src/queries";
import { originOf } from "../src/replies";

const QUERIES = [
  "\x1b[c", "\x1b[0c", "\x1b[>c", "\x1b[>0c", "\x1b[=c", "\x1b[5n", "\x1b[6n", "\x1b[?6n", "\x1b[?15n", "\x1b[?996n",
  "\x1b[4$p", "\x1b[?2026$p", "\x1b[?1049$p", "\x1b[>q", "\x1b[>0q", "\x1b[?u", "\x1b[x", "\x1b[1x",
  "\x1b[11t", "\x1b[13t", "\x1b[14t", "\x1b[14;2t", "\x1b[15t", "\x1b[16t", "\x1b[18t", "\x1b[19t", "\x1b[20t", "\x1b[21t",
  "\x1b]4;1;?\x07", "\x1b]4;1;?;2;?\x1b\\", "\x1b]5;0;?\x07", "\x1b]10;?\x07", "\x1b]10;?;?\x07", "\x1b]11;?\x1b\\", "\x1b]12;?\x07", "\x1b]17;?\x07", "\x1b]19;?\x07",
  "\x1bP$qm\x1b\\", "\x1bP$q q\x1b\\", "\x1bP$qr\x1b\\", "\x1bP+q544e\x1b\\", "\x1bP+q436f;524742\x1b\\",
];

const make = (): { term: headless.Terminal; said: string[] } => {
  // The window reports are off by default; here all of them would be answered.
  const windowOptions = { getWinSizePixels: true, getCellSizePixels: true, getWinSizeChars: true, pushTitle: true, popTitle: true };
  const term = new headless.Terminal({ allowProposedApi: true, cols: 80, rows: 24, windowOptions });
  const said: string[] = [];
  term.onData((data) => said.push(data));
  return { term, said };
};
const feed = (term: headless.Terminal, text: string): Promise<void> => new Promise((parsed) => term.write(text, parsed));

describe("queries", () => {
  it("are answered by an emulator that is left alone, so that silence here means something", async () => {
    const { term, said } = make();
    for (const query of QUERIES) await feed(term, query);
    expect(said.length).toBeGreaterThan(10);
  });

  for (const query of QUERIES) {
    it(`${JSON.stringify(query)} is not answered, also byte by byte and between text`, async () => {
      const { term, said } = make();
      swallowQueries(term.parser);
      await feed(term, `a${query}b`);
      for (const char of query) await feed(term, char);
      expect(said).toEqual([]);
      expect(term.buffer.active.getLine(0)?.translateToString(true)).toBe("ab");
    });
  }

  it("leaves alone what looks alike and is none", async () => {
    const { term, said } = make();
    swallowQueries(term.parser);
    const titles: string[] = [];
    term.onTitleChange((title) => titles.push(title));
    await feed(term, "\x1b]2;one\x07\x1b[22;2t\x1b]2;two\x07\x1b[23;2t\x1b[s\x1b[5;5H\x1b[ux\x1b[?1004h\x1b[?2004h");
    expect(titles).toEqual(["one", "two", "one"]);
    expect(term.modes.bracketedPasteMode && term.modes.sendFocusMode).toBe(true);
    expect(term.buffer.active.getLine(0)?.translateToString(true)).toBe("x");
    expect(said).toEqual([]);
  });

  it("a command that asks and sets is carried out; what is still said to it counts as a reply", async () => {
    const { term, said } = make();
    const rest: string[] = [];
    swallowQueries(term.parser);
    term.parser.registerOscHandler(4, (data) => { rest.push(data); return false; });
    await feed(term, "\x1b]4;1;#ff0000\x07\x1b]4;1;?\x07\x1b]11;#000000\x07");
    // The newest handler sees all; it is asked first.
    expect(rest).toEqual(["1;#ff0000", "1;?"]);
    const { term: other } = make();
    const through: string[] = [];
    other.parser.registerOscHandler(4, (data) => { through.push(data); return true; });
    swallowQueries(other.parser);
    await feed(other, "\x1b]4;1;?\x07\x1b]4;1;?;2;#00ff00\x07\x1b]4;3;#0000ff\x07");
    expect(through).toEqual(["1;?;2;#00ff00", "3;#0000ff"]);
    expect(said.concat("\x1b]4;1;rgb:ffff/0000/0000\x1b\\").every((reply) => originOf(reply) === "reply")).toBe(true);
  });
});

it("whatever an emulator answers has the form of a reply, and is dropped even if it slips through", async () => {
  const { term, said } = make();
  for (const query of QUERIES) await feed(term, query);
  expect(said.filter((reply) => originOf(reply) !== "reply")).toEqual([]);
});
