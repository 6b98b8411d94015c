/**
 * Keeps the session list true: events say which session changed, and a slow
 * full read covers what a broken feed would have missed.
 */

import { retryDelayMs } from "../stream/backoff";
import type { BatonClient } from "./client";
import type { Connection } from "../stream/connection";
import { onPulse } from "../stream/pulse";
import type { SessionEvent } from "./protocol";

const POLL_WITHOUT_FEED_MS = 4_000;
const POLL_WITH_FEED_MS = 30_000;

export interface FeedListener {
  /** Something happened to this session: an event of this type. */
  changed(sessionId: string, type: string | undefined): void;
  /** It printed something; told a few times a second at most. */
  output(sessionId: string): void;
  /** This session is gone, for good. */
  forgotten(sessionId: string): void;
  /** Read the whole list; resolves to whether the bridge answered. */
  refresh(): Promise<boolean>;
  connection(connection: Connection): void;
  /** Baton's settings are others, or may be. */
  settings(): void;
  /** Any event, after what the list needs of it. */
  event(event: Partial<SessionEvent>): void;
  /** Events may have been missed: whoever follows them reads anew. */
  missed(): void;
}

/** Whether an event says that its session is gone. */
export function isForgotten({ type, data }: Partial<SessionEvent>): boolean {
  return type === "status" && typeof data === "object" && data !== null && "status" in data && data.status === "forgotten";
}

export class EventFeed {
  #socket: WebSocket | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #retryAt: number | null = null;
  #readAt = 0;
  #answered = false;
  #stopPulse: (() => void) | null = null;

  constructor(
    private readonly client: BatonClient,
    private readonly listener: FeedListener,
  ) {}

  start(): void {
    this.#stopPulse = onPulse(() => this.#tick());
    void this.#refresh();
    this.#connect();
  }

  stop(): void {
    this.#stopPulse?.();
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  retryNow(): void {
    void this.#refresh();
    if (this.#socket === null) this.#connect();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#retryAt = null;
    const socket = this.client.openEvents();
    this.#socket = socket;
    socket.onopen = () => {
      // What happened while nobody listened is in the list.
      if (this.#attempt > 0) void this.#refresh();
      this.listener.missed();
      this.#attempt = 0;
      this.#say();
      // They may be others since this page heard of them.
      this.listener.settings();
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.#message(event.data);
    socket.onclose = () => {
      this.#socket = null;
      this.#attempt += 1;
      const delay = retryDelayMs(this.#attempt, Math.random());
      this.#retryAt = Date.now() + delay;
      this.#retry = setTimeout(() => this.#connect(), delay);
      void this.#refresh();
    };
  }

  #message(data: string | ArrayBuffer): void {
    if (typeof data !== "string") return;
    const event = JSON.parse(data) as Partial<SessionEvent>;
    // Not an event of the log: it has no number of its own, and changes no row at once.
    if (event.type === "stdout" || event.type === "stderr") return event.scope_id ? this.listener.output(event.scope_id) : undefined;
    if (event.scope === "session" && event.scope_id) {
      if (isForgotten(event)) this.listener.forgotten(event.scope_id);
      else this.listener.changed(event.scope_id, event.type);
    }
    else if (event.type === "settings.changed") this.listener.settings();
    else if (event.scope !== "session") void this.#refresh();
    this.listener.event(event);
  }

  #tick(): void {
    const every = this.#feeding ? POLL_WITH_FEED_MS : POLL_WITHOUT_FEED_MS;
    if (performance.now() - this.#readAt >= every) void this.#refresh();
  }

  async #refresh(): Promise<void> {
    this.#readAt = performance.now();
    this.#answered = await this.listener.refresh();
    this.#say();
  }

  get #feeding(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  #say(): void {
    if (this.#answered) this.listener.connection({ state: "live", rtt_ms: null });
    else this.listener.connection({ state: "offline", attempt: this.#attempt, retry_at: this.#retryAt, reason: "Bridge not reachable" });
  }
}
