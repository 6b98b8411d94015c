/**
 * asciicast, read as it arrives: a header line, then a line an event.
 *
 * Version 3 counts seconds from the event before, version 2 from the beginning;
 * here every event has the seconds since the one before it.
 */

import type { Cells } from "../api/protocol";

export type CastEvent =
  | { kind: "output"; after: number; text: string }
  | { kind: "resize"; after: number; cells: Cells }
  | { kind: "mark"; after: number; label: string }
  | { kind: "exit"; after: number; status: string };

export interface CastHeader {
  version: 2 | 3;
  cells: Cells;
}

/** What is read is not a recording, and where. */
export class CastError extends Error {
  override name = "CastError";
}

/** One event of ours is at most a read window, escaped; a longer line is no recording. */
const LINE_CHARS_MAX = 4 * 1024 * 1024;
const CELLS_MAX = 10_000;

/** Yields the header, then the events. */
export async function* readCast(stream: ReadableStream<Uint8Array>): AsyncGenerator<CastHeader | CastEvent, void, undefined> {
  let parser: CastParser | null = null;
  for await (const line of linesOf(stream)) {
    if (line === "" || line.startsWith("#")) continue;
    if (parser === null) {
      parser = new CastParser(line);
      yield parser.header;
    } else {
      const event = parser.event(line);
      if (event) yield event;
    }
  }
  if (parser === null) throw new CastError("the recording is empty");
}

class CastParser {
  readonly header: CastHeader;
  #line = 1;
  #time = 0;
  /** Time of events that nothing is shown for. */
  #skipped = 0;

  constructor(line: string) {
    const header = objectIn(line);
    const term = header?.["term"];
    const cells = header?.["version"] === 2 ? header : isObject(term) ? term : null;
    const [cols, rows] = [cells?.["width"] ?? cells?.["cols"], cells?.["height"] ?? cells?.["rows"]];
    const version = header?.["version"];
    if ((version !== 2 && version !== 3) || !isSize(cols) || !isSize(rows)) {
      throw new CastError("this is not an asciicast of version 2 or 3");
    }
    this.header = { version, cells: { cols, rows } };
  }

  event(line: string): CastEvent | null {
    this.#line += 1;
    const parts: unknown = parsed(line);
    if (!Array.isArray(parts)) throw this.#error();
    const [time, code, data] = parts as unknown[];
    if (typeof time !== "number" || !Number.isFinite(time) || typeof code !== "string" || typeof data !== "string") throw this.#error();
    const passed = Math.max(0, this.header.version === 3 ? time : time - this.#time);
    this.#time = this.header.version === 3 ? 0 : Math.max(this.#time, time);
    const after = passed + this.#skipped;
    const event = this.#known(after, code, data);
    this.#skipped = event ? 0 : after;
    return event;
  }

  #known(after: number, code: string, data: string): CastEvent | null {
    switch (code) {
      case "o":
        return { kind: "output", after, text: data };
      case "r": {
        const [, cols = 0, rows = 0] = (/^(\d{1,5})x(\d{1,5})$/.exec(data) ?? []).map(Number);
        if (!isSize(cols) || !isSize(rows)) throw this.#error();
        return { kind: "resize", after, cells: { cols, rows } };
      }
      case "m":
        return { kind: "mark", after, label: data };
      case "x":
        return { kind: "exit", after, status: data };
      default:
        // Input, and what later versions add.
        return null;
    }
  }

  #error(): CastError {
    return new CastError(`line ${this.#line} of the recording is not an event`);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const lines = (rest + (done ? decoder.decode() : decoder.decode(value, { stream: true }))).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > LINE_CHARS_MAX) throw new CastError(`a line of the recording is longer than ${LINE_CHARS_MAX} characters`);
      yield* lines;
      if (done) break;
    }
    if (rest !== "") yield rest;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= CELLS_MAX;
}

function objectIn(line: string): Record<string, unknown> | null {
  const value = parsed(line);
  return isObject(value) ? value : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
