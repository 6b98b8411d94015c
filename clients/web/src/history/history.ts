/**
 * Looking back: the screen as it was, while the session runs on.
 *
 *     live --open--> looking <--play/pause--> playing --caught up--> live
 *
 * Nothing here touches the live terminal. A place on the slider becomes a
 * cursor, the bridge renders the screen at it, and a second emulator shows it.
 */

import { batch, computed, signal } from "@preact/signals";
import type { BatonClient, Snapshot } from "../api/client";
import type { RecordingRoutes } from "../api/recordings";
import { messageOf, Refused, wasAborted } from "../api/requests";
import { formatCursor, parseCursor } from "../stream/frame";
import { Export } from "./export";
import { Latest } from "./latest";
import { landmarksOf, ticksOf, type Landmark } from "./marks";
import type { PastScreen } from "./past_screen";
import { Player, type PlayerSink, type Speed } from "./player";
import type { SessionDetail } from "../api/protocol";
import { Timeline, type Point } from "./timeline";

/** A slider being dragged asks for this many screens a second at most. */
const DRAG_DELAY_MS = 40;
/** Waiting is shown after this; before it would only flicker. */
const SLOW_MS = 1_000;
/** How long a refused screen waits before it is asked for again, and how often it is asked for at all. */
const BUSY_MS = 250;
const BUSY_TRIES = 8;
/** Points in between whose time is asked for, so that the slider knows where silence is. */
const PROBES_MAX = 12;
const PROBE_BYTES = 8 * 1024;
const PROBES_AT_ONCE = 3;

/** What shows the past. */
export type PastView = Pick<PastScreen, "show" | "begin" | "output" | "resize" | "mark" | "marked" | "text" | "configure">;

type Client = Pick<BatonClient, "session" | "snapshot" | "timeOf" | "marks" | "recording"> & { recordings: Pick<RecordingRoutes, "part"> };

/** Where to look: a hit of a search, a landmark. */
export interface Target {
  cursor: string;
  at: number | null;
  /** Text to mark where it stands. */
  wanted: string | null;
}

export class History {
  readonly #client: Client;
  readonly #sessionId: string;
  readonly #latest = new Latest(DRAG_DELAY_MS);
  #abort = new AbortController();
  #instance = "";
  #screen: PastView | null = null;
  #pending: { snapshot: Snapshot; wanted: string | null } | null = null;
  /** The output offset that is looked at; null is the newest. The slider follows it. */
  #offset: number | null = null;
  #player: Player | null = null;
  #playing = new AbortController();
  #slowTimer: ReturnType<typeof setTimeout> | undefined;

  readonly isOpen = signal(false);
  readonly timeline = signal<Timeline | null>(null);
  /** Where on the slider, 0 to 1. */
  readonly place = signal(1);
  /** When the screen looked as it is shown, milliseconds since 1970; about, while it is being asked for. */
  readonly at = signal<number | null>(null);
  /** Whether a screen has been shown since it was opened. */
  readonly shown = signal(false);
  readonly loading = signal(false);
  /** It has been loading for a while. */
  readonly slow = signal(false);
  readonly error = signal<string | null>(null);
  readonly playing = signal(false);
  readonly speed = signal<Speed>(1);
  /** The program of this session still runs. */
  readonly living = signal(false);
  readonly landmarks = signal<readonly Landmark[]>([]);
  readonly ticks = computed(() => {
    const timeline = this.timeline.value;
    return timeline ? ticksOf(this.landmarks.value, (offset) => timeline.placeOfOffset(offset)) : [];
  });

  /** A part of it as a file. */
  readonly export: Export;

  constructor(client: Client, sessionId: string) {
    this.#client = client;
    this.#sessionId = sessionId;
    this.export = new Export(client.recordings, sessionId, (offset) => this.#cursor(offset));
  }

  /** Opens at `target`, else at the newest screen. */
  open(target: Target | null): void {
    if (!this.isOpen.peek()) this.#begin();
    this.#stopPlaying();
    this.#offset = target && (parseCursor(target.cursor)?.offset ?? 0);
    batch(() => {
      this.at.value = target?.at ?? null;
      this.place.value = this.#placeOf(this.#offset);
    });
    this.#ask(target?.cursor ?? null, target?.wanted ?? null, true);
  }

  close(): void {
    if (!this.isOpen.peek()) return;
    this.#stopPlaying();
    this.#latest.cancel();
    this.#abort.abort();
    this.#settle();
    this.#pending = null;
    this.export.close();
    this.isOpen.value = false;
  }

  /** The moment that is looked at; null before it is known where the output begins and ends. */
  moment(): Point | null {
    const timeline = this.timeline.peek();
    if (!timeline || this.#offset === null) return timeline && timeline.end;
    return { offset: this.#offset, at: this.at.peek() ?? timeline.at(this.place.peek()).at };
  }

  /** The same; null when that is the newest there is, whatever comes. */
  momentBefore(): Point | null {
    return this.#offset === null ? null : this.moment();
  }

  /** The emulator to show on; none while there is no room for it. */
  showOn(screen: PastView | null): void {
    this.#screen = screen;
    if (screen && this.#pending) void this.#show(this.#pending.snapshot, this.#pending.wanted);
  }

  get screen(): PastView | null {
    return this.#screen;
  }

  /** The user moves the slider. */
  seek(to: number): void {
    const timeline = this.timeline.peek();
    if (!timeline) return;
    this.#stopPlaying();
    const place = Math.min(1, Math.max(0, to));
    const point = timeline.at(place);
    this.#offset = place < 1 ? point.offset : null;
    batch(() => {
      this.place.value = place;
      this.at.value = point.at;
    });
    this.#ask(this.#offset === null ? null : this.#cursor(this.#offset), null, false);
  }

  /** To the next landmark in `direction`, if there is one. */
  jump(direction: 1 | -1): void {
    const here = this.#offset ?? Infinity;
    const landmarks = this.landmarks.peek();
    const there = direction > 0 ? landmarks.find(({ offset }) => offset > here) : landmarks.findLast(({ offset }) => offset < here);
    if (there) this.goTo(there);
    else if (direction > 0) this.seek(1);
  }

  goTo({ offset, at }: Landmark): void {
    this.open({ cursor: this.#cursor(offset), at, wanted: null });
  }

  togglePlay(): void {
    if (this.playing.peek()) {
      this.playing.value = false;
      this.#player?.pause();
    } else if (this.#player) {
      this.playing.value = true;
      this.#player.play();
    } else {
      void this.#play();
    }
  }

  setSpeed(speed: Speed): void {
    this.speed.value = speed;
    if (this.#player) this.#player.speed = speed;
  }

  #begin(): void {
    this.#abort = new AbortController();
    this.export.reset();
    batch(() => {
      this.isOpen.value = true;
      this.shown.value = false;
      this.timeline.value = null;
      this.landmarks.value = [];
    });
    void this.#survey(this.#abort.signal);
  }

  /** Learns where the output begins and ends, what happened, and where the silences are. */
  async #survey(signal: AbortSignal): Promise<void> {
    try {
      const detail = await this.#client.session(this.#sessionId);
      if (signal.aborted) return;
      this.#instance = detail.instance;
      this.living.value = detail.status === "running" || detail.status === "starting";
      const [start, end] = endsOf(detail);
      this.#layOut([start, end]);
      const [first, landmarks, between] = await Promise.all([
        this.#point(start.offset, signal),
        this.#landmarks(start.offset, end.offset, signal),
        this.#probe(start.offset, end.offset, signal),
      ]);
      if (signal.aborted) return;
      batch(() => {
        this.landmarks.value = landmarks;
        this.#layOut([first ?? start, ...landmarks, ...between, end]);
      });
    } catch (error) {
      if (!signal.aborted) this.error.value = messageOf(error);
    }
  }

  /** Without marks the slider has no ticks, and that is all. */
  async #landmarks(start: number, end: number, signal: AbortSignal): Promise<Landmark[]> {
    const events = await this.#client.marks(this.#sessionId, signal).catch(() => []);
    return landmarksOf(events, this.#instance).filter(({ offset }) => offset >= start && offset <= end);
  }

  async #probe(start: number, end: number, signal: AbortSignal): Promise<Point[]> {
    const count = Math.min(PROBES_MAX, Math.floor((end - start) / PROBE_BYTES));
    const offsets = Array.from({ length: count }, (_, at) => Math.round(start + ((at + 1) * (end - start)) / (count + 1)));
    const points: Point[] = [];
    const next = async (): Promise<void> => {
      for (let offset = offsets.shift(); offset !== undefined; offset = offsets.shift()) {
        const point = await this.#point(offset, signal);
        if (point) points.push(point);
      }
    };
    await Promise.all(Array.from({ length: PROBES_AT_ONCE }, next));
    return points;
  }

  /** When the output reached `offset`; nothing when the bridge cannot tell, which only makes the slider coarser. */
  async #point(offset: number, signal: AbortSignal): Promise<Point | null> {
    const at = await this.#client.timeOf(this.#sessionId, this.#cursor(offset), signal).catch(() => null);
    return at === null ? null : { offset, at };
  }

  /** Lays the slider out anew; what is looked at stays, wherever that is on it now. */
  #layOut(points: readonly Point[]): void {
    batch(() => {
      this.timeline.value = new Timeline(points);
      this.place.value = this.#placeOf(this.#offset);
    });
  }

  #placeOf(offset: number | null): number {
    return offset === null ? 1 : (this.timeline.peek()?.placeOfOffset(offset) ?? this.place.peek());
  }

  #ask(cursor: string | null, wanted: string | null, now: boolean): void {
    this.#wait();
    this.#latest.want(
      async (signal) => {
        const snapshot = await this.#snapshot(cursor, signal);
        if (!signal.aborted) await this.#show(snapshot, wanted);
      },
      () => this.#settle(),
      (error) => {
        this.#settle();
        if (!wasAborted(error)) this.error.value = messageOf(error);
      },
      now,
    );
  }

  /** A worker draws only so many screens at once; what a drag asked for before may still be among them. */
  async #snapshot(cursor: string | null, signal: AbortSignal): Promise<Snapshot> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#client.snapshot(this.#sessionId, cursor === null ? null : { cursor }, 0, signal);
      } catch (error) {
        const busy = error instanceof Refused && (error.code === "busy" || error.code === "rate_limited");
        if (!busy || attempt === BUSY_TRIES) throw error;
        await new Promise((resume) => setTimeout(resume, BUSY_MS));
        signal.throwIfAborted();
      }
    }
  }

  async #show(snapshot: Snapshot, wanted: string | null): Promise<void> {
    const screen = this.#screen;
    this.#pending = screen ? null : { snapshot, wanted };
    if (!screen) return;
    if (snapshot.at !== null) this.at.value = snapshot.at;
    await screen.show(snapshot.bytes, snapshot.cells);
    this.shown.value = true;
    if (wanted) screen.mark(wanted);
  }

  async #play(): Promise<void> {
    const timeline = this.timeline.peek();
    if (!timeline) return;
    const from = this.#offset === null ? timeline.start : { offset: this.#offset, at: this.at.peek() ?? timeline.at(this.place.peek()).at };
    this.#latest.cancel();
    this.#wait();
    this.playing.value = true;
    this.#playing.abort();
    const playing = (this.#playing = new AbortController());
    try {
      const signal = AbortSignal.any([this.#abort.signal, playing.signal]);
      const { body } = await this.#client.recording(this.#sessionId, { cursor: this.#cursor(from.offset) }, signal);
      if (!body || signal.aborted) return;
      this.#settle();
      this.#offset = from.offset;
      this.#player = new Player(body, this.#sink(from));
      this.#player.speed = this.speed.peek();
      // Paused while the recording was on its way.
      if (this.playing.peek()) this.#player.play();
    } catch (error) {
      if (playing.signal.aborted || this.#abort.signal.aborted) return;
      this.#settle();
      this.playing.value = false;
      this.error.value = messageOf(error);
    }
  }

  #sink(from: Point): PlayerSink {
    return {
      begin: (cells) => this.#screen?.begin(cells),
      output: async (text) => {
        await this.#screen?.output(text);
        this.shown.value = true;
      },
      resize: (cells) => this.#screen?.resize(cells),
      time: (seconds) => this.#played(from.at + seconds * 1000),
      ended: () => {
        this.#stopPlaying();
        if (this.living.peek()) return this.close();
        this.#offset = null;
        this.place.value = 1;
      },
      failed: (error) => {
        this.#stopPlaying();
        this.error.value = messageOf(error);
      },
    };
  }

  #played(at: number): void {
    const timeline = this.timeline.peek();
    if (!timeline) return;
    // Short of the end, which stands for the newest screen.
    const place = Math.min(timeline.placeOfTime(at), 1 - 1e-6);
    this.#offset = timeline.at(place).offset;
    batch(() => {
      this.at.value = at;
      this.place.value = place;
    });
  }

  #stopPlaying(): void {
    this.playing.value = false;
    this.#playing.abort();
    this.#player?.stop();
    this.#player = null;
  }

  #wait(): void {
    batch(() => {
      this.error.value = null;
      this.loading.value = true;
    });
    this.#slowTimer ??= setTimeout(() => (this.slow.value = true), SLOW_MS);
  }

  #settle(): void {
    clearTimeout(this.#slowTimer);
    this.#slowTimer = undefined;
    batch(() => {
      this.loading.value = false;
      this.slow.value = false;
    });
  }

  #cursor(offset: number): string {
    return formatCursor({ instance: this.#instance, offset });
  }
}

/** The first output a screen can be made of, and the last there was. */
function endsOf(detail: SessionDetail): [start: Point, end: Point] {
  const offset = (cursor: string): number => parseCursor(cursor)?.offset ?? 0;
  const start = Math.max(offset(detail.oldest_screen_cursor), offset(detail.oldest_cursor));
  return [
    { offset: start, at: Date.parse(detail.created_at) },
    { offset: offset(detail.cursor), at: Date.parse(detail.last_activity_at) },
  ];
}
