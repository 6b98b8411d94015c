import { describe, expect, it } from "vitest";
import { CastError, readCast, type CastEvent, type CastHeader } from "../src/history/cast";

const encoder = new TextEncoder();

function streamOf(text: string, size = 1_000_000): ReadableStream<Uint8Array> {
  const bytes = encoder.encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
      controller.close();
    },
  });
}

async function read(text: string, size?: number): Promise<(CastHeader | CastEvent)[]> {
  const all: (CastHeader | CastEvent)[] = [];
  for await (const one of readCast(streamOf(text, size))) all.push(one);
  return all;
}

const V3 = `{"version":3,"term":{"cols":80,"rows":24,"type":"xterm-256color"},"timestamp":1700000000}
# a remark
[0.0, "o", "prompt $ "]
[1.5, "o", "é日🙂"]
[0.25, "i", "x"]
[0.25, "r", "100x30"]
[2, "m", "build"]
[0.5, "x", "0"]
`;

describe("asciicast", () => {
  it("version 3, in pieces of any size; time of what is not shown is kept", async () => {
    const expected = [
      { version: 3, cells: { cols: 80, rows: 24 } },
      { kind: "output", after: 0, text: "prompt $ " },
      { kind: "output", after: 1.5, text: "é日🙂" },
      { kind: "resize", after: 0.5, cells: { cols: 100, rows: 30 } },
      { kind: "mark", after: 2, label: "build" },
      { kind: "exit", after: 0.5, status: "0" },
    ];
    for (const size of [1, 2, 3, 7, 64, 4096]) expect(await read(V3, size)).toEqual(expected);
  });

  it("version 2 counts from the beginning", async () => {
    expect(await read('{"version":2,"width":80,"height":24}\n[1,"o","a"]\n[1.5,"i","x"]\n[4,"o","b"]\n[3,"o","c"]')).toEqual([
      { version: 2, cells: { cols: 80, rows: 24 } },
      { kind: "output", after: 1, text: "a" },
      { kind: "output", after: 3, text: "b" },
      { kind: "output", after: 0, text: "c" },
    ]);
  });

  it("refuses what is none, and says where", async () => {
    for (const text of ["", "hello", '{"version":1,"width":80,"height":24}', '{"version":3,"term":{"cols":0,"rows":24}}', '{"version":3,"term":{"cols":1e9,"rows":24}}', "[1,2]"]) {
      await expect(read(text), text).rejects.toThrow(CastError);
    }
    for (const line of ["{}", '["a","o","b"]', "[1]", '[1,"r","80"]', '[1,"r","0x5"]', "nonsense", '[null,"o","a"]']) {
      await expect(read(`${V3}${line}\n`), line).rejects.toThrow("line 8");
    }
  });

  it("does not keep a line without an end", async () => {
    const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(65536).fill(0x20)) });
    await expect(readCast(endless).next()).rejects.toThrow("longer than");
  });
});
