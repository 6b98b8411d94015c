/**
 * Input on its way to the worker: numbered, kept until acknowledged, sent again
 * after a reconnect under the same number, and dropped whole once refused.
 *
 * The worker journals the highest number it applied, so sending one twice types
 * it once. Input is cut into frames and only a bounded part is in flight, so a
 * long paste cannot fill the worker's queue by itself.
 */

export interface InputFrame {
  seq: number;
  /** The epoch it was typed under; a later one makes it stale, never retyped. */
  epoch: number;
  bytes: Uint8Array;
  sent: boolean;
}

const FRAME_BYTES = 4 * 1024;
const IN_FLIGHT_BYTES_MAX = 32 * 1024;

export class InputQueue {
  #frames: InputFrame[] = [];
  #nextSeq = 1;
  /** The highest number that was refused, or told to be uncertain. */
  #answered = 0;

  /** Returns the number of the last frame. */
  push(bytes: Uint8Array, epoch: number): number {
    for (let at = 0; at < bytes.length; at += FRAME_BYTES) {
      this.#frames.push({ seq: this.#nextSeq++, epoch, bytes: bytes.subarray(at, at + FRAME_BYTES), sent: false });
    }
    return this.#nextSeq - 1;
  }

  /** Frames to put on the wire now; they count as sent. */
  takeSendable(): InputFrame[] {
    let inFlight = 0;
    const sendable: InputFrame[] = [];
    for (const frame of this.#frames) {
      if (!frame.sent && inFlight >= IN_FLIGHT_BYTES_MAX) break;
      inFlight += frame.bytes.length;
      if (frame.sent) continue;
      frame.sent = true;
      sendable.push(frame);
    }
    return sendable;
  }

  /** Everything up to `seq` was applied. */
  acknowledged(seq: number): void {
    this.#frames = this.#frames.filter((frame) => frame.seq > seq);
  }

  /**
   * Drops everything after `accepted`, the highest number that is or will be
   * typed, so that the rest of a line is never typed without its beginning.
   *
   * Returns the bytes that were not typed.
   */
  refuse(accepted: number, seq = accepted): number {
    this.#answered = Math.max(this.#answered, seq);
    const dropped = this.#frames.filter((frame) => frame.seq > accepted);
    this.#frames = this.#frames.filter((frame) => frame.seq <= accepted);
    return dropped.reduce((sum, frame) => sum + frame.bytes.length, 0);
  }

  /**
   * Whether `seq` was typed is not known: it counts as typed, and what follows
   * it is dropped. False when that is no news; it is told at each attach.
   */
  uncertain(seq: number): boolean {
    this.acknowledged(seq);
    if (seq <= this.#answered) return false;
    this.refuse(seq);
    return true;
  }

  /** A new connection to the same instance: all but the applied is sent again. */
  resume(appliedSeq: number): void {
    this.acknowledged(appliedSeq);
    for (const frame of this.#frames) frame.sent = false;
  }

  /** Another instance runs now: nothing of the old is typed into it. Returns the bytes dropped. */
  restart(): number {
    const bytes = this.refuse(0);
    this.#nextSeq = 1;
    this.#answered = 0;
    return bytes;
  }

  /** Bytes not acknowledged yet. */
  get pendingBytes(): number {
    return this.#frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
  }
}
