import headless from "@xterm/headless";
import { describe, expect, it } from "vitest";
import { swallowQueries } from "../src/terminal/queries";
import { originOf } from "../src/terminal/replies";
import VECTORS from "../../../screen/src/queries/vectors.json";

/** One by one as the worker sees them: its own list is tested with this table, and so is the command line's. */
const QUERIES: string[] = VECTORS.questions;

/** Hears what reaches the emulator of a sequence's kind. Without a handler for its kind there is nothing to reach it with. */
function overhear(term: headless.Terminal, sequence: string): { heard: number } | null {
  const seen = { heard: 0 };
  const hear = (): boolean => { seen.heard += 1; return false; };
  const [, osc] = /^\x1b\](\d+)/.exec(sequence) ?? [];
  if (osc !== undefined) {
    term.parser.registerOscHandler(Number(osc), hear);
    return seen;
  }
  const [, introducer, prefix, intermediates, final] = /^\x1b([[P]?)([<-?]?)[\d;:]*([ -/]*)([@-~0-9])/.exec(sequence) ?? [];
  if (final === undefined || introducer === undefined) return null;
  const id = { ...(prefix ? { prefix } : {}), ...(intermediates ? { intermediates } : {}), final };
  if (introducer === "[") term.parser.registerCsiHandler(id, hear);
  else if (introducer === "P") term.parser.registerDcsHandler(id, hear);
  else if (!"_^X".includes(final)) term.parser.registerEscHandler(id, hear);
  else return null;
  return seen;
}

const make = (): { term: headless.Terminal; said: string[] } => {
  // The window reports are off by default; here all of them would be answered.
  const windowOptions = { getWinSizePixels: true, getCellSizePixels: true, getWinSizeChars: true, setWinSizeChars: true, restoreWin: true, pushTitle: true, popTitle: true };
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

  it("are the worker's, no more and no fewer", async () => {
    const reached = async (sequence: string): Promise<number | null> => {
      const { term } = make();
      const seen = overhear(term, sequence);
      swallowQueries(term.parser);
      await feed(term, sequence);
      return seen === null ? null : seen.heard;
    };
    for (const sequence of VECTORS.questions) expect([sequence, (await reached(sequence)) ?? 0]).toEqual([sequence, 0]);
    for (const sequence of [...VECTORS.others, ...VECTORS.mixed]) expect([sequence, (await reached(sequence)) ?? 1]).toEqual([sequence, 1]);
    const deaf = VECTORS.questions.filter((sequence) => overhear(make().term, sequence) === null);
    expect(deaf.every((sequence) => sequence.startsWith("\x1b_"))).toBe(true);
  });

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
