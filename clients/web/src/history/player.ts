/**
 * Plays a recording: output at its own pace or a multiple of it, silence cut
 * short, one piece at a time as the emulator takes it.
 *
 *     playing --pause--> paused --play--> playing --last event--> ended
 *
 * It reads only a little ahead; a paused player leaves the rest at the bridge.
 */

import { readCast, type CastEvent } from "./cast";
import type { Cells } from "../api/protocol";

export interface PlayerSink {
  /** Forgets what is shown and has this size. */
  begin(cells: Cells): void;
  /** Resolves when it is on the screen. */
  output(text: string): Promise<void>;
  resize(cells: Cells): void;
  /** Seconds of the recording played, silence in full. */
  time(seconds: number): void;
  ended(): void;
  failed(error: unknown): void;
}

/** Silence is played as at most this long, at any speed before it is divided. */
export const SILENCE_MAX_S = 1.5;
const TICK_MS = 25;
/** Behind by more than this, it goes on from where it is. */
const LAG_MAX_S = 0.5;
/** A tick's output at most, so that one flood does not block the page. */
const TICK_CHARS_MAX = 256 * 1024;

export const SPEEDS = [0.5, 1, 2, 4, 8] as const;
export type Speed = (typeof SPEEDS)[number];

export class Player {
  speed: Speed = 1;
  readonly #sink: PlayerSink;
  readonly #events: AsyncGenerator<CastEvent | { cells: Cells }, void, undefined>;
  #next: CastEvent | null = null;
  #begun = false;
  #stopped = false;
  #playing = false;
  #running = false;
  /** Shortened seconds until `#next` is due. */
  #wait = 0;
  #played = 0;

  constructor(stream: ReadableStream<Uint8Array>, sink: PlayerSink) {
    this.#sink = sink;
    this.#events = readCast(stream);
  }

  get playing(): boolean {
    return this.#playing;
  }

  play(): void {
    this.#playing = !this.#stopped;
    if (this.#playing && !this.#running) void this.#run();
  }

  pause(): void {
    this.#playing = false;
  }

  /** For good; the recording is read no further. */
  stop(): void {
    this.#playing = false;
    this.#stopped = true;
    void this.#events.return();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      if (!this.#begun) await this.#begin();
      let last = performance.now();
      while (this.#playing) {
        const now = performance.now();
        const ended = await this.#tick(((now - last) / 1000) * this.speed);
        last = now;
        if (ended) {
          this.#playing = false;
          this.#stopped = true;
          this.#sink.ended();
          break;
        }
        await new Promise((resume) => setTimeout(resume, TICK_MS));
      }
    } catch (error) {
      const wanted = this.#playing;
      this.stop();
      if (wanted) this.#sink.failed(error);
    }
    this.#running = false;
    // Played again while the last piece was being shown.
    if (this.#playing && !this.#stopped) void this.#run();
  }

  async #begin(): Promise<void> {
    const { value } = await this.#events.next();
    if (this.#stopped || !value || !("cells" in value)) return;
    this.#begun = true;
    this.#sink.begin(value.cells);
    await this.#advance();
  }

  /** Shows what is due after `seconds` more; whether that was all. */
  async #tick(seconds: number): Promise<boolean> {
    this.#wait = Math.max(this.#wait - seconds, -LAG_MAX_S);
    let text = "";
    const flush = async (): Promise<void> => {
      const shown = text;
      text = "";
      if (shown !== "") await this.#sink.output(shown);
    };
    while (this.#next && this.#wait <= 0 && this.#playing) {
      const event = this.#next;
      this.#played += event.after;
      if (event.kind === "output") text += event.text;
      if (event.kind === "resize") {
        await flush();
        this.#sink.resize(event.cells);
      }
      await this.#advance();
      if (text.length >= TICK_CHARS_MAX) break;
    }
    await flush();
    if (this.#playing) this.#sink.time(this.#played);
    return this.#next === null && this.#playing;
  }

  async #advance(): Promise<void> {
    const { value } = await this.#events.next();
    this.#next = value && "kind" in value ? value : null;
    if (this.#next) this.#wait += Math.min(this.#next.after, SILENCE_MAX_S);
  }
}
