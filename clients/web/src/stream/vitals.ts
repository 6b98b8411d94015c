/** How a stream is, in numbers, for whoever looks for a fault. */

import { bytesText } from "../ui/words";

/** What the bridge lets a client have unacknowledged (`credit.rs`). */
const CREDIT_BYTES = 512 * 1024;

/** How long something takes, or how long it has been waited for. */
export interface RoundTrip {
  ms: number;
  of: "key" | "heartbeat";
  /** It is not over. */
  waiting: boolean;
}

export interface Vitals {
  /** Output before this is on the screen. */
  offset: number;
  /** Bytes that came and were not acknowledged. */
  unacked: number;
  epoch: number;
  round_trip: RoundTrip | null;
}

/** From the last frame of input on its way to its acknowledgement, one at a time. */
export class KeyLatency {
  #underWay: { seq: number; at: number } | null = null;
  #last: number | null = null;

  sent(seq: number, now: number): void {
    this.#underWay ??= { seq, at: now };
  }

  acknowledged(seq: number, now: number): void {
    if (this.#underWay === null || seq < this.#underWay.seq) return;
    this.#last = now - this.#underWay.at;
    this.#underWay = null;
  }

  /** What is under way will not be answered: the connection is another, or it was refused. */
  abandon(): void {
    this.#underWay = null;
  }

  /** What was measured last; a longer wait for the one under way counts more. */
  at(now: number): RoundTrip | null {
    const waited = this.#underWay === null ? -1 : now - this.#underWay.at;
    if (waited > (this.#last ?? 0)) return { ms: waited, of: "key", waiting: true };
    return this.#last === null ? null : { ms: this.#last, of: "key", waiting: false };
  }
}

export function creditText(unacked: number): string {
  return `${bytesText(Math.max(0, CREDIT_BYTES - unacked))} (${bytesText(unacked)} unacked)`;
}

export function roundTripText(trip: RoundTrip | null): string {
  if (trip === null) return "–";
  const ms = trip.ms < 10 ? trip.ms.toFixed(1) : String(Math.round(trip.ms));
  return `${trip.waiting ? "> " : ""}${ms} ms (${trip.of})`;
}
