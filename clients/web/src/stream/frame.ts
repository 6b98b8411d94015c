/**
 * The hot frames of `baton.v1.binary`: terminal bytes without JSON or base64.
 *
 * A binary message is one byte of kind, a fixed header, then raw bytes:
 *
 *     0 data      8 bytes: cursor offset after these bytes
 *     1 snapshot  8 bytes: cursor offset after these bytes
 *     2 input     8 bytes: seq, 8 bytes: epoch         (client to server)
 *
 * Numbers are big-endian. Offsets stay below 2^53, so a plain number holds them.
 */

const KIND_DATA = 0;
const KIND_SNAPSHOT = 1;
const KIND_INPUT = 2;
const OUTPUT_HEADER_BYTES = 9;
const INPUT_HEADER_BYTES = 17;

export interface OutputFrame {
  kind: "data" | "snapshot";
  /** Cursor offset after `bytes`. */
  offset: number;
  bytes: Uint8Array;
}

/** The server sent a binary message this protocol version does not have. */
export class FrameError extends Error {
  override name = "FrameError";
}

export function decodeOutput(message: ArrayBuffer): OutputFrame {
  if (message.byteLength < OUTPUT_HEADER_BYTES) {
    throw new FrameError(`a binary frame of ${message.byteLength} bytes is shorter than its header`);
  }
  const view = new DataView(message);
  const kind = view.getUint8(0);
  if (kind !== KIND_DATA && kind !== KIND_SNAPSHOT) {
    throw new FrameError(`binary frame kind ${kind} is not known`);
  }
  return {
    kind: kind === KIND_DATA ? "data" : "snapshot",
    offset: readSafe(view, 1),
    bytes: new Uint8Array(message, OUTPUT_HEADER_BYTES),
  };
}

export function encodeInput(seq: number, epoch: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(INPUT_HEADER_BYTES + bytes.length);
  const view = new DataView(message.buffer);
  view.setUint8(0, KIND_INPUT);
  view.setBigUint64(1, BigInt(seq));
  view.setBigUint64(9, BigInt(epoch));
  message.set(bytes, INPUT_HEADER_BYTES);
  return message;
}

export interface Cursor {
  instance: string;
  offset: number;
}

/** Reads `<instance>:<offset>`; nothing when it is not of that form. */
export function parseCursor(text: string): Cursor | null {
  const match = /^(.*):(\d{1,16})$/.exec(text);
  if (!match) return null;
  return { instance: match[1] ?? "", offset: Number(match[2]) };
}

export function formatCursor({ instance, offset }: Cursor): string {
  return `${instance}:${offset}`;
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

function readSafe(view: DataView, at: number): number {
  const value = view.getBigUint64(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FrameError(`cursor offset ${value} is too large`);
  return Number(value);
}
