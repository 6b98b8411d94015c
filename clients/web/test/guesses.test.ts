import { describe, expect, it } from "vitest";
import { Guesses, type Place, type View } from "../src/echo/guesses";
import { keyOf } from "../src/echo/keys";
import { isSlow } from "../src/echo/echo";

const COLS = 30;

/** A terminal of a few control characters: enough for a line editor. */
class Grid implements View {
  cursor: Place = { row: 0, col: 0 };
  readonly cols = COLS;
  alternate = false;
  readonly rows: string[][] = [];

  charAt({ row, col }: Place): string {
    return this.rows[row]?.[col] ?? " ";
  }

  write(text: string): void {
    for (const char of text) {
      const { row, col } = this.cursor;
      if (char === "\r") this.cursor = { row, col: 0 };
      else if (char === "\n") this.cursor = { row: row + 1, col };
      else if (char === "\b") this.cursor = { row, col: Math.max(0, col - 1) };
      else if (char === "→") this.cursor = { row, col: col + 1 };
      else {
        const at = col === COLS ? { row: row + 1, col: 0 } : { row, col };
        (this.rows[at.row] ??= Array.from({ length: COLS }, () => " "))[at.col] = char;
        this.cursor = { row: at.row, col: at.col + 1 };
      }
    }
  }
}

/** What reads the keys: the rest is how it shows them. */
type Manner = "plain" | "silent" | "stars" | "upper" | "turns to stars";

class Program {
  #line = "";
  #at = 0;
  constructor(public manner: Manner, readonly prompt = "$ ") {}

  key(data: string): string {
    if (data === "\r") {
      this.#line = "";
      this.#at = 0;
      return `\r\n${this.prompt}`;
    }
    if (this.manner === "silent") return "";
    if (data === "\x7f") {
      if (this.#at === 0) return "";
      const rest = this.#line.slice(this.#at);
      this.#line = this.#line.slice(0, this.#at - 1) + rest;
      this.#at -= 1;
      return `\b${rest} ${"\b".repeat(rest.length + 1)}`;
    }
    if (data === "\x1b[D") return this.#at > 0 ? (this.#at--, "\b") : "";
    if (data === "\x1b[C") return this.#at < this.#line.length ? (this.#at++, "→") : "";
    const char = this.manner === "stars" || (this.manner === "turns to stars" && this.#line.length > 1) ? "*" : this.manner === "upper" ? data.toUpperCase() : data;
    const rest = this.#line.slice(this.#at);
    this.#line = this.#line.slice(0, this.#at) + char + rest;
    this.#at += 1;
    return `${char}${rest}${"\b".repeat(rest.length)}`;
  }
}

/** The page, the link and the program, at one clock. */
class Bench {
  now = 1000;
  readonly screen = new Grid();
  readonly guesses = new Guesses();
  #seq = 0;
  #events: { at: number; run: () => void }[] = [];
  /** Every text that was ever shown over the screen. */
  readonly everShown: string[] = [];

  constructor(readonly program: Program, readonly way: number) {
    this.screen.write(program.prompt);
  }

  type(data: string): void {
    const seq = ++this.#seq;
    this.guesses.typed(keyOf(data), seq, this.screen, this.now);
    this.#look();
    this.#after(this.way, () => {
      const output = this.program.key(data);
      this.#after(this.way, () => {
        this.guesses.acknowledged(seq, this.now);
        if (output === "") return;
        this.screen.write(output);
        this.guesses.output(this.screen, this.now);
      });
    });
  }

  pass(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const due = this.guesses.deadline ?? Infinity;
      const next = Math.min(this.#events[0]?.at ?? Infinity, due);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      if (due <= this.now) this.guesses.expire(this.now);
      else this.#events.shift()?.run();
      this.#look();
    }
    this.now = until;
  }

  get shown(): string {
    return (this.guesses.shown(this.screen)?.cells ?? []).map(({ char }) => char).join("");
  }

  #look(): void {
    if (this.shown !== "") this.everShown.push(this.shown);
  }

  #after(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, run });
    this.#events.sort((a, b) => a.at - b.at);
  }
}

/** A small generator of numbers, so that a failure names its seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed * 2654435761 + 1;
  return (sides) => {
    state = (Math.imul(state ^ (state >>> 15), state | 1) + 0x6d2b79f5) | 0;
    return ((state ^ (state >>> 14)) >>> 0) % sides;
  };
}

function pictureOf(screen: Grid): View {
  const copy = new Grid();
  screen.rows.forEach((row, at) => (copy.rows[at] = [...row]));
  copy.cursor = screen.cursor;
  return copy;
}

const SLOW = 150;
const ALL = 10_000;

describe("guesses", () => {
  it("show nothing before a letter came back, and everything that is on its way after", () => {
    const bench = new Bench(new Program("plain"), SLOW);
    bench.type("l");
    bench.pass(100);
    bench.type("s");
    expect(bench.shown).toBe("");
    bench.pass(201);
    expect(bench.shown).toBe("s");
    bench.type("x");
    expect(bench.shown).toBe("sx");
    bench.type("\x7f");
    expect(bench.shown).toBe("s");
    bench.pass(ALL);
    expect(bench.shown).toBe("");
    expect(bench.screen.charAt({ row: 0, col: 3 })).toBe("s");
  });

  it("stay as long as the link holds its breath", () => {
    const bench = new Bench(new Program("plain"), SLOW);
    bench.type("a");
    bench.pass(400);
    // Nothing is acknowledged any more: nothing is known to be wrong.
    bench.type("b");
    bench.pass(299);
    expect(bench.shown).toBe("b");
    expect(bench.guesses.deadline).toBeNull();
  });

  it("of a line without echo show nothing, typed at once or ahead", () => {
    const program = new Program("plain");
    const bench = new Bench(program, SLOW);
    for (const key of "sudo") bench.type(key);
    bench.pass(ALL);
    bench.type("x");
    expect(bench.shown).toBe("x");
    bench.type("\r");
    program.manner = "silent";
    for (const key of "ahead") bench.type(key);
    expect(bench.shown).toBe("x");
    bench.pass(ALL);
    const before = bench.everShown.length;
    for (const key of "hunter2") {
      bench.type(key);
      bench.pass(90);
    }
    bench.pass(ALL);
    expect(bench.everShown.length).toBe(before);
  });

  it("that are wrong go at once, and nothing more is shown in that line", () => {
    const bench = new Bench(new Program("turns to stars"), SLOW);
    bench.type("a");
    bench.pass(400);
    for (const key of "bcd") bench.type(key);
    expect(bench.shown).toBe("bcd");
    bench.pass(360);
    expect(bench.shown).toBe("");
    bench.type("e");
    expect(bench.shown).toBe("");
    bench.pass(ALL);
    expect(bench.everShown.join("")).not.toContain("e");
  });

  it("that nothing answers are taken back in time", () => {
    const program = new Program("plain");
    const bench = new Bench(program, SLOW);
    bench.type("a");
    bench.pass(400);
    program.manner = "silent";
    bench.type("b");
    expect(bench.shown).toBe("b");
    bench.pass(601);
    expect(bench.shown).toBe("");
  });

  it("are forgotten with another screen", () => {
    const bench = new Bench(new Program("plain"), SLOW);
    bench.type("a");
    bench.pass(400);
    bench.type("b");
    bench.screen.alternate = true;
    bench.guesses.output(bench.screen, bench.now);
    expect(bench.shown).toBe("");
  });

  it("do not reach over the last column", () => {
    const bench = new Bench(new Program("plain"), SLOW);
    bench.type("a");
    bench.pass(400);
    for (let count = 0; count < COLS * 2; count++) bench.type("z");
    expect(bench.shown.length).toBeLessThan(COLS);
    bench.pass(ALL);
    expect(bench.shown).toBe("");
  });

  it("of an honest program are never wrong: what is shown is the screen as it will be", () => {
    let shown = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const roll = dice(seed);
      const bench = new Bench(new Program("plain"), 20 + roll(300));
      // The same program with no way between: what the screen will be once each key is answered.
      const twin = { program: new Program("plain"), screen: new Grid() };
      twin.screen.write(twin.program.prompt);
      const ahead: View[] = [];
      const keys = ["a", "b", "c", "d", " ", "é", "\x7f", "\x1b[D", "\x1b[C", "\r"];
      for (let count = 0; count < 60; count++) {
        const key = keys[roll(roll(6) === 0 ? keys.length : 7)] ?? "a";
        twin.screen.write(twin.program.key(key));
        ahead.push(pictureOf(twin.screen));
        bench.type(key);
        for (let part = roll(4); part >= 0; part--) {
          const said = bench.guesses.shown(bench.screen);
          if (said) shown += 1;
          const will = ahead.some((view) => said?.cells.every((cell) => view.charAt(cell) === cell.char) && view.cursor.row === said.cursor.row && view.cursor.col === said.cursor.col);
          expect(said === null || will, `seed ${seed}, key ${count}`).toBe(true);
          bench.pass(roll(4) === 0 ? roll(400) : roll(60));
        }
      }
      bench.pass(ALL);
      expect(bench.shown, `seed ${seed}`).toBe("");
      expect(pictureOf(bench.screen).cursor).toEqual(twin.screen.cursor);
    }
    expect(shown).toBeGreaterThan(500);
  });

  it("of any program show a letter only after one was echoed in that line, and none at the end", () => {
    const manners: Manner[] = ["plain", "silent", "stars", "upper", "turns to stars"];
    for (let seed = 1; seed <= 400; seed++) {
      const roll = dice(seed);
      const program = new Program("plain", roll(2) === 0 ? "$ " : "Password:");
      const bench = new Bench(program, 10 + roll(400));
      for (let line = 0; line < 6; line++) {
        const manner = manners[roll(manners.length)] ?? "plain";
        program.manner = manner;
        const before = bench.everShown.length;
        for (let count = roll(12); count >= 0; count--) {
          bench.type(manner === "silent" ? "S" : String.fromCharCode(97 + roll(26)));
          bench.pass(roll(3) === 0 ? roll(700) : roll(100));
        }
        const during = bench.everShown.slice(before).join("");
        if (manner === "silent") expect(during, `seed ${seed}`).not.toContain("S");
        if (manner === "stars" || manner === "upper") expect(during, `seed ${seed}`).toBe("");
        bench.pass(ALL);
        expect(bench.shown, `seed ${seed}`).toBe("");
        bench.type("\r");
        bench.pass(ALL);
      }
    }
  });
});

describe("keys", () => {
  it("are told apart", () => {
    expect(keyOf("a")).toEqual({ kind: "text", chars: [{ char: "a", width: 1 }] });
    expect(keyOf("世")).toEqual({ kind: "text", chars: [{ char: "世", width: 2 }] });
    expect(keyOf("\x7f").kind).toBe("erase");
    expect(keyOf("\x1bOD").kind).toBe("left");
    for (const other of ["\r", "\x1b", "\t", "\x03", "\x1b[A", "\x1b[200~x\x1b[201~", "e\u0301", "x".repeat(40), ""]) expect(keyOf(other).kind).toBe("other");
  });
});

it("a link counts as slow above 60 ms, and as fast again only well below", () => {
  expect([isSlow(59, false), isSlow(61, false), isSlow(50, true), isSlow(44, true), isSlow(null, true)]).toEqual([false, true, true, false, true]);
});
