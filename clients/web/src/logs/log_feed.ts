/**
 * The panel's own socket: everything after a number, over as many connections as it takes.
 *
 *     closed --open--> connecting --> live <--> reconnecting
 *
 * A message is put aside as it comes and taken a batch at a time, so that drawing never holds up the socket. A socket can't be
 * told to wait: when too much lies aside, the connection is ended, and the next one goes on after the last event taken. The
 * bridge keeps what comes meanwhile.
 */

import { CLOSE } from "../api/protocol";
import { retryDelayMs } from "../stream/backoff";

export type FeedState = "closed" | "connecting" | "live" | "reconnecting" | "signed_out" | "refused";

/** Messages that lie aside at most, and how many are taken at once. */
export const ASIDE_MAX = 20_000;
const BATCH_MAX = 4_000;
const BATCH_EVERY_MS = 60;

export interface FeedOwner {
  open(cursor: number): WebSocket;
  /** The number to go on after. */
  newest(): number;
  /** Takes messages in their order; `first` is whether they begin with the first of a connection. */
  take(messages: readonly string[], first: boolean): void;
  state(state: FeedState): void;
}

export class LogFeed {
  readonly #owner: FeedOwner;
  #socket: WebSocket | null = null;
  #aside: string[] = [];
  #first = true;
  #wanted = false;
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #batch: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: FeedOwner) {
    this.#owner = owner;
  }

  open(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = 0;
    addEventListener("online", this.#again);
    this.#owner.state("connecting");
    this.#connect();
  }

  /** What lies aside is taken; nothing more comes. */
  close(): void {
    if (!this.#wanted) return;
    this.#wanted = false;
    removeEventListener("online", this.#again);
    clearTimeout(this.#retry);
    this.#drop();
    while (this.#aside.length > 0) this.#takeBatch();
    this.#owner.state("closed");
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#first = true;
    const socket = this.#owner.open(this.#owner.newest());
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      this.#owner.state("live");
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data !== "string") return;
      this.#aside.push(data);
      this.#batch ??= setTimeout(() => this.#flush(), BATCH_EVERY_MS);
      // The rest comes by number, once there is room.
      if (this.#aside.length >= ASIDE_MAX) this.#drop();
    };
    socket.onclose = ({ code }) => this.#ended(code);
  }

  #ended(code: number): void {
    this.#socket = null;
    if (!this.#wanted) return;
    if (code === CLOSE.auth || code === CLOSE.forbidden) {
      // Asked again, it would be refused again.
      this.#wanted = false;
      removeEventListener("online", this.#again);
      return this.#owner.state(code === CLOSE.auth ? "signed_out" : "refused");
    }
    this.#attempt += 1;
    this.#owner.state("reconnecting");
    this.#retry = setTimeout(() => this.#reconnect(), retryDelayMs(this.#attempt, Math.random()));
  }

  /** What lies aside is taken first: the number to go on after is that of the last event taken. */
  #reconnect(): void {
    while (this.#aside.length > 0) this.#takeBatch();
    this.#connect();
  }

  /** A network that was away may have left the connection dead without a word. */
  readonly #again = (): void => {
    this.#drop();
    this.#reconnect();
  };

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #flush(): void {
    this.#batch = undefined;
    this.#takeBatch();
    if (this.#aside.length > 0) this.#batch = setTimeout(() => this.#flush(), BATCH_EVERY_MS);
    else if (this.#wanted && this.#socket === null && this.#attempt === 0) this.#connect();
  }

  #takeBatch(): void {
    const taken = this.#aside.splice(0, BATCH_MAX);
    if (taken.length === 0) return;
    const first = this.#first;
    this.#first = false;
    this.#owner.take(taken, first);
  }
}
