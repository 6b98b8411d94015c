import { describe, expect, it } from "vitest";
import { decodeOutput, encodeInput, formatCursor, FrameError, fromBase64, parseCursor, toBase64 } from "../src/stream/frame";

function message(...bytes: number[]): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

describe("binary frames", () => {
  it("reads data: kind, offset after the bytes, the bytes", () => {
    const frame = decodeOutput(message(0, 0, 0, 0, 0, 0, 1, 0, 2, 0x68, 0x69));
    expect(frame.kind).toBe("data");
    expect(frame.offset).toBe(65538);
    expect([...frame.bytes]).toEqual([0x68, 0x69]);
  });

  it("reads a snapshot, and one without bytes", () => {
    const frame = decodeOutput(message(1, 0, 0, 0, 0, 0, 0, 0, 7));
    expect(frame).toMatchObject({ kind: "snapshot", offset: 7 });
    expect(frame.bytes.length).toBe(0);
  });

  it("holds offsets up to 2^53 exactly and refuses larger ones", () => {
    expect(decodeOutput(message(0, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)).offset).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => decodeOutput(message(0, 0, 0x20, 0, 0, 0, 0, 0, 0))).toThrow(FrameError);
  });

  it("refuses every short header and every kind it does not know", () => {
    for (let length = 0; length < 9; length++) expect(() => decodeOutput(new ArrayBuffer(length))).toThrow(FrameError);
    for (const kind of [2, 3, 4, 255]) expect(() => decodeOutput(message(kind, 0, 0, 0, 0, 0, 0, 0, 1))).toThrow(FrameError);
  });

  it("writes input: kind, seq, epoch, bytes", () => {
    const bytes = encodeInput(2 ** 40 + 3, 9, new Uint8Array([0x0d]));
    expect([...bytes]).toEqual([2, 0, 0, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0x0d]);
  });
});

describe("cursors", () => {
  it("are an instance and an offset", () => {
    expect(parseCursor("ins_0a:42")).toEqual({ instance: "ins_0a", offset: 42 });
    expect(formatCursor({ instance: "ins_0a", offset: 42 })).toBe("ins_0a:42");
  });

  it("of another form are not guessed at", () => {
    for (const bad of ["", "42", "ins_0a:", "ins_0a:-1", "ins_0a:1.5", "ins_0a:x"]) expect(parseCursor(bad)).toBeNull();
  });
});

it("base64 keeps every byte", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  expect([...fromBase64(toBase64(all))]).toEqual([...all]);
});
