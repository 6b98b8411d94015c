import headless from "@xterm/headless";
import { describe, expect, it } from "vitest";
import { OutputQueue, type Emulator } from "../src/terminal/output_queue";

const encoder = new TextEncoder();

function make(cols = 20, rows = 4): { term: headless.Terminal; queue: OutputQueue; parsed: number[]; said: string[]; settled(): Promise<void> } {
  const term = new headless.Terminal({ allowProposedApi: true, cols, rows, scrollback: 1000 });
  const parsed: number[] = [];
  const said: string[] = [];
  const queue: OutputQueue = new OutputQueue(term as Emulator, { parsed: (offset) => parsed.push(offset), resized: () => undefined });
  term.onData((data) => said.push(`${queue.restoring ? "restoring" : "live"} ${JSON.stringify(data)}`));
  return { term, queue, parsed, said, settled: () => new Promise((done) => setTimeout(() => term.write("", done), 5)) };
}

const lines = (term: headless.Terminal): string[] =>
  Array.from({ length: term.buffer.active.length }, (_, row) => term.buffer.active.getLine(row)?.translateToString(true) ?? "");

/** Sends `text` in pieces of `size` bytes, counted from `from`. */
function send(queue: OutputQueue, text: string, size: number, from = 0): number {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += size) queue.bytes(bytes.subarray(at, at + size), from + Math.min(at + size, bytes.length));
  return from + bytes.length;
}

describe("a snapshot", () => {
  it("replaces a dirty screen, whatever was half said, and the bytes after it follow", async () => {
    for (const dirt of ["text\r\nmore", "\x1b[3;9", "\x1b]2;half a tit", "\x1bPq#0;2", "\x1b[?1049h\x1b[2;3rin it", "\xf0\x9f", "\x1b[7m\x1b(0\x1b[?6h"]) {
      const { term, queue, parsed, settled } = make();
      send(queue, dirt, 3);
      queue.restart(encoder.encode("\x1b[1;1Hscreen\r\n"), 100, null);
      queue.bytes(encoder.encode("after"), 105);
      await settled();
      expect(lines(term).join("|"), dirt).toBe("screen|after||");
      expect(term.buffer.active.type).toBe("normal");
      expect(parsed.at(-1)).toBe(105);
      expect(parsed).toContain(100);
    }
  });

  it("brings its size, after what was written for the old one", async () => {
    const { term, queue, settled } = make(10, 4);
    send(queue, "0123456789ab", 5);
    queue.restart(encoder.encode("wide"), 50, { cols: 30, rows: 6 });
    queue.resize({ cols: 12, rows: 6 });
    queue.bytes(encoder.encode("-then-narrow"), 62);
    await settled();
    expect([term.cols, term.rows]).toEqual([12, 6]);
    expect(lines(term).slice(0, 2)).toEqual(["wide-then-na", "rrow"]);
  });

  it("says nothing to the program while it is restored", async () => {
    const { queue, said, settled } = make();
    queue.restart(encoder.encode("\x1b[6n"), 4, null);
    queue.bytes(encoder.encode("\x1b[6n"), 8);
    await settled();
    expect(said.map((line) => line.split(" ")[0])).toEqual(["restoring", "live"]);
  });
});

describe("lines put above what is shown", () => {
  const all = Array.from({ length: 60 }, (_, at) => `line ${at}\r\n`).join("");

  it("join exactly, wherever the snapshot's cursor stands against the bytes that came", async () => {
    const bytes = encoder.encode(all);
    for (const attached of [200, 311]) {
      for (const asked of [attached, attached + 7, attached + 50, attached + 93]) {
        const { term, queue, parsed, settled } = make();
        // Attached by a screen without the lines above; the earlier part of the output is not here.
        queue.restart(encoder.encode(all.slice(0, attached).split("\r\n").slice(-4).join("\r\n")), attached, null);
        const rest = bytes.subarray(attached);
        for (let at = 0; at < 50; at += 7) queue.bytes(rest.subarray(at, Math.min(at + 7, 50)), attached + Math.min(at + 7, 50));
        let answer: (snapshot: { bytes: Uint8Array; offset: number; cells: { cols: number; rows: number } }) => void = () => undefined;
        const done = queue.rebase(() => new Promise((resolve) => (answer = resolve)));
        for (let at = 50; at < 90; at += 9) queue.bytes(rest.subarray(at, Math.min(at + 9, 90)), attached + Math.min(at + 9, 90));
        // The snapshot at `asked` is here simply all the bytes before it.
        answer({ bytes: bytes.subarray(0, asked), offset: asked, cells: { cols: 20, rows: 4 } });
        // It may be ahead of what has arrived.
        await settled();
        queue.bytes(rest.subarray(90), bytes.length);
        expect(await done, `${attached} ${asked}`).toBe(true);
        await settled();
        const { term: whole } = make();
        await new Promise<void>((shown) => whole.write(bytes, shown));
        expect(lines(term)).toEqual(lines(whole));
        expect(parsed).toEqual([...parsed].sort((a, b) => a - b));
        expect(parsed.at(-1)).toBe(bytes.length);
      }
    }
  });

  it("are refused when the bytes between are gone, or the size changed meanwhile", async () => {
    const { queue, settled } = make();
    queue.restart(new Uint8Array(0), 1000, null);
    queue.bytes(encoder.encode("abc"), 1003);
    const snapshot = { bytes: new Uint8Array(0), offset: 990, cells: { cols: 20, rows: 4 } };
    expect(await queue.rebase(() => Promise.resolve(snapshot))).toBe(false);
    const resized = queue.rebase(() => {
      queue.resize({ cols: 10, rows: 4 });
      return Promise.resolve({ ...snapshot, offset: 1001 });
    });
    expect(await resized).toBe(false);
    await settled();
    await expect(queue.rebase(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  });
});

describe("a character in two pieces", () => {
  for (const size of [1, 2, 3, 4, 5]) {
    it(`stays whole in pieces of ${String(size)} bytes`, async () => {
      const { term, queue, parsed, settled } = make(40);
      // Each has a byte 0x80, behind which xterm.js alone would lose the character.
      const text = "a\u3002\u2014\u{1f000}\u0100z";
      const end = send(queue, text, size);
      await settled();
      expect(lines(term)[0]).toBe(text);
      expect(parsed.at(-1)).toBe(end);
    });
  }

  it("is not waited for when it is none", async () => {
    const { term, queue, settled } = make();
    queue.bytes(new Uint8Array([0x61, 0x80]), 2);
    queue.bytes(new Uint8Array([0x62, 0xe2]), 4);
    queue.bytes(new Uint8Array([0x63]), 5);
    await settled();
    expect(lines(term)[0]?.replaceAll("\ufffd", "")).toBe("abc");
  });
});
