/**
 * What reaches the emulator, in the order of the output.
 *
 * A resize belongs to a place in the output: applied early, it would wrap lines
 * that were written for the old width. A snapshot replaces everything, so it
 * waits for what came before and what comes after waits for it.
 */

import type { Cells } from "../api/protocol";

/** What an emulator must be able to do; xterm's `Terminal` is one. */
export interface Emulator {
  write(bytes: Uint8Array, parsed: () => void): void;
  resize(cols: number, rows: number): void;
}

type Step =
  | { kind: "bytes"; bytes: Uint8Array; offset: number }
  | { kind: "resize"; cells: Cells }
  | { kind: "fresh"; bytes: Uint8Array; offset: number | null; cells: Cells | null; shown: (() => void) | undefined };

export interface QueueListener {
  /** Everything before `offset` is on the screen. */
  parsed(offset: number): void;
  resized(): void;
}

/** Kept to join a snapshot of the recent past to what came since. */
const TAIL_BYTES_MAX = 256 * 1024;
/** As long as such a snapshot is on its way. */
const TAIL_BYTES_MAX_WAITING = 4 * 1024 * 1024;

/** How long a snapshot from after the last byte here waits for the bytes before it. */
const CATCH_UP_MS = 5_000;

/**
 * Ends what is unfinished (CAN), resets (RIS), and takes back set colours, which a reset leaves. In the bytes, not as a
 * call: the emulator then draws nothing between the old screen and the new.
 */
const FORGET_EVERYTHING = new TextEncoder().encode("\x18\x1bc\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\");

export class OutputQueue {
  readonly #emulator: Emulator;
  readonly #listener: QueueListener;
  readonly #steps: Step[] = [];
  #writing = 0;
  #fresh = false;
  /** The beginning of a character whose end is still to come: xterm.js 6.0 loses one that is cut behind a byte 0x80. */
  #begun: Uint8Array = new Uint8Array(0);
  #received = 0;
  #tail: Uint8Array[] = [];
  #tailBytes = 0;
  #waiting = 0;
  #waker: (() => void)[] = [];

  constructor(emulator: Emulator, listener: QueueListener) {
    this.#emulator = emulator;
    this.#listener = listener;
  }

  /** A snapshot is being parsed: nothing the emulator says meanwhile is an answer to anything. */
  get restoring(): boolean {
    return this.#fresh;
  }

  /** The output offset after the last byte queued. */
  get received(): number {
    return this.#received;
  }

  bytes(bytes: Uint8Array, offset: number): void {
    this.#received = offset;
    this.#keep(bytes);
    this.#push({ kind: "bytes", bytes, offset });
    this.#waker.splice(0).forEach((wake) => wake());
  }

  resize(cells: Cells): void {
    // What was kept was written for another width.
    this.#forgetTail();
    this.#push({ kind: "resize", cells });
  }

  /** Replaces all that is shown by `bytes`, the screen at `offset`. */
  restart(bytes: Uint8Array, offset: number, cells: Cells | null): void {
    this.#forgetTail();
    this.#received = offset;
    this.#push({ kind: "fresh", bytes, offset, cells, shown: undefined });
    this.#waker.splice(0).forEach((wake) => wake());
  }

  /** Forgets all that is shown. */
  reset(): void {
    this.#forgetTail();
    this.#push({ kind: "fresh", bytes: new Uint8Array(0), offset: null, cells: null, shown: undefined });
  }

  /**
   * Replaces all that is shown by a snapshot of a moment ago and what came since.
   *
   * `ask` gets the snapshot; its cursor may be a little before or after what has
   * arrived here. False when too much came meanwhile, nothing comes any more, or
   * the size changed.
   */
  async rebase(ask: () => Promise<{ bytes: Uint8Array; offset: number; cells: Cells }>): Promise<boolean> {
    this.#waiting += 1;
    try {
      const { bytes, offset, cells } = await ask();
      if (!(await this.#catchUp(offset))) return false;
      const missing = this.#received - offset;
      if (missing > this.#tailBytes) return false;
      const since = joined(this.#tail, this.#tailBytes).subarray(this.#tailBytes - missing);
      await new Promise<void>((shown) => {
        this.#push({ kind: "fresh", bytes: joined([bytes, since], bytes.length + since.length), offset: this.#received, cells, shown });
      });
      return true;
    } finally {
      this.#waiting -= 1;
      this.#trimTail();
    }
  }

  clear(): void {
    this.#steps.length = 0;
    this.#begun = new Uint8Array(0);
    this.#forgetTail();
  }

  async #catchUp(offset: number): Promise<boolean> {
    const until = performance.now() + CATCH_UP_MS;
    while (this.#received < offset && performance.now() < until) {
      await new Promise<void>((wake) => {
        this.#waker.push(wake);
        setTimeout(wake, until - performance.now());
      });
    }
    return this.#received >= offset;
  }

  #push(step: Step): void {
    this.#steps.push(step);
    this.#pump();
  }

  #pump(): void {
    for (let step = this.#steps[0]; step && !this.#fresh; step = this.#steps[0]) {
      // The emulator resizes at once, but parses what it was given later.
      if (step.kind !== "bytes" && this.#writing > 0) return;
      this.#steps.shift();
      if (step.kind === "resize") this.#resize(step.cells);
      else this.#write(step);
    }
  }

  #write(step: Exclude<Step, { kind: "resize" }>): void {
    const fresh = step.kind === "fresh";
    if (fresh && step.cells) this.#resize(step.cells);
    this.#writing += 1;
    this.#fresh = fresh;
    const given = fresh ? fromScratch(step.bytes) : behind(this.#begun, step.bytes);
    const whole = wholeCharacters(given);
    this.#begun = given.slice(whole);
    const unsaid = given.length - whole;
    this.#emulator.write(given.subarray(0, whole), () => {
      this.#writing -= 1;
      if (fresh) this.#fresh = false;
      if (step.offset !== null) this.#listener.parsed(step.offset - unsaid);
      if (fresh) step.shown?.();
      this.#pump();
    });
  }

  #resize({ cols, rows }: Cells): void {
    this.#emulator.resize(cols, rows);
    this.#listener.resized();
  }

  #keep(bytes: Uint8Array): void {
    this.#tail.push(bytes);
    this.#tailBytes += bytes.length;
    this.#trimTail();
  }

  #trimTail(): void {
    const most = this.#waiting > 0 ? TAIL_BYTES_MAX_WAITING : TAIL_BYTES_MAX;
    let dropped = 0;
    while (this.#tailBytes > most) this.#tailBytes -= this.#tail[dropped++]?.length ?? 0;
    if (dropped > 0) this.#tail.splice(0, dropped);
  }

  #forgetTail(): void {
    this.#tail = [];
    this.#tailBytes = 0;
  }
}

/** Bytes that make any terminal show `screen`, whatever it shows. */
export function fromScratch(screen: Uint8Array): Uint8Array {
  return joined([FORGET_EVERYTHING, screen], FORGET_EVERYTHING.length + screen.length);
}

function behind(begun: Uint8Array, bytes: Uint8Array): Uint8Array {
  return begun.length === 0 ? bytes : joined([begun, bytes], begun.length + bytes.length);
}

/** How many of `bytes` come before a UTF-8 character that has begun and not ended. */
function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? bytes.length - back : bytes.length;
    }
    if (byte < 0x80) break;
  }
  return bytes.length;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
