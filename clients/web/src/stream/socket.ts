/**
 * One terminal stream: a WebSocket that is replaced when it dies, and the
 * position in the output that outlives it.
 *
 *     connecting --ready--> live --lost--> reconnecting --ready--> live
 *     any --4009--> replaced;  any --4001--> signed_out;  any --exit--> ended
 *
 * It owns the cursor, the acknowledgements and the input in flight. It knows
 * nothing of screens or leases: those arrive at the listener as frames.
 */

import { ATTEMPTS_BEFORE_OFFLINE, retryDelayMs } from "./backoff";
import type { BatonClient } from "../api/client";
import { Refused, Unreachable } from "../api/requests";
import { refusalText, type Connection } from "./connection";
import { decodeOutput, encodeInput, formatCursor, fromBase64, parseCursor, toBase64, type OutputFrame } from "./frame";
import { InputQueue, type InputFrame } from "./input";
import { onPulse } from "./pulse";
import { BINARY_SUBPROTOCOL, CLOSE, type Cells, type ClientFrame, type ServerFrame, type ServerFrameOf } from "../api/protocol";
import { KeyLatency, type Vitals } from "./vitals";

const HEARTBEAT_MS = 5_000;
/** Silence after which nothing is known to work any more. */
const SILENCE_MS = 12_000;
const OPEN_TIMEOUT_MS = 10_000;
/** The server's credit counts in such steps. */
const ACK_BYTES = 32 * 1024;
const ACK_IDLE_MS = 60;

export type Ready = ServerFrameOf<"ready">;
type Failure = ServerFrameOf<"error">;
/** The frames that are neither bytes nor the stream's own bookkeeping. */
export type SessionFrame = Exclude<ServerFrame, { type: "ready" | "data" | "snapshot" | "input_ack" | "pong" }>;

export interface StreamListener {
  connection(connection: Connection): void;
  /** `continued`: the bytes that follow go on where the screen is now. */
  ready(frame: Ready, continued: boolean): void;
  output(frame: OutputFrame, cells: Cells | null): void;
  frame(frame: SessionFrame): void;
  /** The program was given everything typed up to `seq`. */
  acknowledged(seq: number): void;
  /** Typed bytes that will not reach the program, and the refusal if there was one. */
  inputDropped(bytes: number, why: Failure | null): void;
  signedOut(): void;
}

export interface StreamOptions {
  client: BatonClient;
  sessionId: string;
  clientId: string;
  inputStream: number;
  /** What to say of this client in `hello`, asked for at each connection. */
  introduce(): Pick<Extract<ClientFrame, { type: "hello" }>, "name" | "cols" | "rows" | "term">;
  listener: StreamListener;
}

export class TerminalStream {
  readonly #options: StreamOptions;
  readonly #input = new InputQueue();
  readonly #latency = new KeyLatency();
  #socket: WebSocket | null = null;
  #isReady = false;
  #finished = false;
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #openedAt = 0;
  #lastSeen = 0;
  #pingAt = 0;
  #pongDue = false;
  #rtt: number | null = null;
  #stopPulse: (() => void) | null = null;
  #instance: string | null = null;
  #received = 0;
  #parsed = 0;
  #acked = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  start(): void {
    this.#watch();
    this.#options.listener.connection({ state: "connecting" });
    this.#connect();
  }

  /** Leaves the session for good; gives control up. */
  stop(): void {
    this.send({ type: "detach" });
    this.#finish();
    this.#drop();
  }

  get live(): boolean {
    return this.#isReady;
  }

  /** Where the screen's bytes end. */
  get cursor(): string {
    return this.#instance === null ? "" : formatCursor({ instance: this.#instance, offset: this.#parsed });
  }

  /** How the stream is; asked for while somebody looks. */
  vitals(): Omit<Vitals, "epoch"> {
    const beat = this.#rtt === null ? null : { ms: this.#rtt, of: "heartbeat" as const, waiting: false };
    return {
      offset: this.#parsed,
      unacked: Math.max(0, this.#received - this.#acked),
      round_trip: this.#latency.at(performance.now()) ?? beat,
    };
  }

  get unsentBytes(): number {
    return this.#input.pendingBytes;
  }

  send(frame: ClientFrame): boolean {
    if (!this.#isReady || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Types under `epoch`. While disconnected it waits; the epoch fences it if control moves meanwhile. Returns its number. */
  type(bytes: Uint8Array, epoch: number): number {
    const seq = this.#input.push(bytes, epoch);
    this.#flushInput();
    return seq;
  }

  /** The screen has parsed everything before `offset`. */
  parsed(offset: number): void {
    this.#parsed = offset;
    if (offset - this.#acked >= ACK_BYTES) this.#ack();
    else this.#ackTimer ??= setTimeout(() => this.#ack(), ACK_IDLE_MS);
  }

  retryNow(): void {
    if (this.#isReady || this.#socket?.readyState === WebSocket.CONNECTING) return;
    if (this.#finished) this.#watch();
    this.#attempt = Math.max(1, this.#attempt);
    this.#connect();
  }

  #watch(): void {
    this.#finished = false;
    this.#stopPulse = onPulse(() => this.#tick());
    document.addEventListener("visibilitychange", this.#wake);
    window.addEventListener("online", this.#wake);
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#drop();
    const { client, sessionId, clientId } = this.#options;
    const socket = client.openTerminal(sessionId, clientId);
    let opened = false;
    this.#socket = socket;
    this.#openedAt = this.#lastSeen = performance.now();
    if (this.#attempt > 0) this.#sayRetrying(null);
    socket.onopen = () => {
      opened = true;
      socket.send(JSON.stringify(this.#hello()));
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.#message(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason, opened);
  }

  #hello(): ClientFrame {
    const { clientId, inputStream, introduce } = this.#options;
    const hello: Extract<ClientFrame, { type: "hello" }> = {
      type: "hello",
      client_id: clientId,
      client_kind: "web",
      input_stream: inputStream,
      snapshot: "auto",
      ...introduce(),
    };
    // All received bytes are on their way to the screen, parsed or not.
    if (this.#instance !== null) hello.resume_cursor = formatCursor({ instance: this.#instance, offset: this.#received });
    return hello;
  }

  #message(data: string | ArrayBuffer): void {
    this.#lastSeen = performance.now();
    try {
      if (typeof data === "string") this.#frame(JSON.parse(data) as ServerFrame);
      else this.#output(decodeOutput(data), null);
    } catch (error) {
      this.#give("offline", `The bridge sent something this page does not understand. Reload the page. (${String(error)})`);
    }
  }

  #frame(frame: ServerFrame): void {
    switch (frame.type) {
      case "ready":
        return this.#ready(frame);
      case "data":
      case "snapshot": {
        const cells = frame.type === "snapshot" ? { cols: frame.cols, rows: frame.rows } : null;
        const offset = parseCursor(frame.cursor)?.offset ?? this.#received;
        return this.#output({ kind: frame.type, offset, bytes: fromBase64(frame.data_b64) }, cells);
      }
      case "input_ack":
        this.#input.acknowledged(frame.seq);
        this.#latency.acknowledged(frame.seq, performance.now());
        this.#flushInput();
        return this.#options.listener.acknowledged(frame.seq);
      case "pong":
        if (this.#pongDue) this.#rtt = performance.now() - this.#pingAt;
        this.#pongDue = false;
        return this.#sayLive();
      case "error":
        if (frame.code === "replaced") return this.#give("replaced");
        if (this.#refused(frame)) this.#options.listener.frame(frame);
        return;
      case "exit":
        this.#options.listener.frame(frame);
        return this.#end("Session ended");
      default:
        return this.#options.listener.frame(frame);
    }
  }

  #ready(frame: Ready): void {
    const { listener } = this.#options;
    const sameInstance = frame.instance === this.#instance;
    if (sameInstance) {
      this.#input.resume(frame.input_seq);
    } else {
      if (this.#instance !== null) listener.inputDropped(this.#input.restart(), null);
      this.#instance = frame.instance;
      this.#received = this.#parsed = this.#acked = 0;
    }
    this.#latency.abandon();
    this.#isReady = true;
    this.#attempt = 0;
    listener.ready(frame, sameInstance && frame.mode === "exact");
    listener.acknowledged(frame.input_seq);
    this.#heartbeat();
    this.#flushInput();
    if (frame.status === "running" || frame.status === "starting") this.#sayLive();
    else this.#end("Session ended");
  }

  #output(frame: OutputFrame, cells: Cells | null): void {
    this.#received = frame.offset;
    // A snapshot may stand before what was acknowledged; credit counts from it.
    if (frame.kind === "snapshot") this.#acked = Math.min(this.#acked, frame.offset);
    this.#options.listener.output(frame, cells);
  }

  /** False when there is nothing new in it. */
  #refused(frame: Failure): boolean {
    if (frame.seq === undefined || frame.seq === null) return true;
    this.#latency.abandon();
    if (frame.code === "input_uncertain") return this.#input.uncertain(frame.seq);
    const dropped = this.#input.refuse(frame.accepted ?? frame.seq - 1, frame.seq);
    if (dropped > 0) this.#options.listener.inputDropped(dropped, frame);
    return true;
  }

  #flushInput(): void {
    const socket = this.#socket;
    if (!this.#isReady || socket?.readyState !== WebSocket.OPEN) return;
    for (const frame of this.#input.takeSendable()) {
      socket.send(socket.protocol === BINARY_SUBPROTOCOL ? encodeInput(frame.seq, frame.epoch, frame.bytes) : inputAsText(frame));
      this.#latency.sent(frame.seq, performance.now());
    }
  }

  #ack(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#parsed === this.#acked) return;
    if (this.send({ type: "ack", cursor: this.cursor })) this.#acked = this.#parsed;
  }

  #heartbeat(): void {
    if (this.#pongDue) return;
    this.#pongDue = this.send({ type: "heartbeat" });
    this.#pingAt = performance.now();
  }

  #tick(): void {
    const now = performance.now();
    if (this.#isReady) {
      if (now - this.#lastSeen > SILENCE_MS) this.#lost();
      else if (now - this.#pingAt >= HEARTBEAT_MS) this.#sendOverdueHeartbeat();
    } else if (this.#socket && !this.#finished && now - this.#openedAt > OPEN_TIMEOUT_MS) {
      this.#lost();
    }
  }

  /** A pong still due does not stop heartbeats: they are the lease's sign of life. */
  #sendOverdueHeartbeat(): void {
    this.#pongDue = false;
    this.#heartbeat();
  }

  readonly #wake = (): void => {
    if (document.visibilityState === "hidden") return;
    if (this.#isReady) this.#tick();
    else if (this.#socket === null && !this.#finished) this.#connect();
  };

  #closed(code: number, reason: string, opened: boolean): void {
    this.#drop();
    if (this.#finished) return;
    switch (code) {
      case CLOSE.replaced:
        return this.#give("replaced");
      case CLOSE.auth:
        return this.#give("signed_out");
      case CLOSE.forbidden:
        return this.#give("offline", refusalText(reason));
      case CLOSE.notFound:
        return this.#end("This session no longer exists");
      case CLOSE.protocol:
        return this.#give("offline", reason || "The bridge speaks another version. Reload the page");
      default:
        this.#lost();
        if (!opened) void this.#askWhy();
    }
  }

  #lost(): void {
    this.#drop();
    if (this.#finished) return;
    this.#attempt += 1;
    const delay = retryDelayMs(this.#attempt, Math.random());
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#sayRetrying(Date.now() + delay);
  }

  /** A refused upgrade tells a page nothing; a request tells why. */
  async #askWhy(): Promise<void> {
    const { client, sessionId } = this.#options;
    try {
      await client.session(sessionId);
    } catch (error) {
      if (this.#finished || this.#isReady || error instanceof Unreachable || !(error instanceof Refused)) return;
      if (error.status === 401) this.#give("signed_out");
      else if (error.status === 404) this.#end("This session no longer exists");
      else if (error.status === 403) this.#give("offline", error.message);
    }
  }

  /** Stops trying; only the user's wish starts again. */
  #give(state: "replaced" | "signed_out" | "offline", reason = ""): void {
    this.#finish();
    this.#drop();
    const { listener } = this.#options;
    if (state === "offline") listener.connection({ state, attempt: this.#attempt, retry_at: null, reason });
    else listener.connection({ state });
    if (state === "signed_out") listener.signedOut();
  }

  /** Nothing more comes. The socket stays while the server keeps it, so that the last bytes arrive. */
  #end(reason: string): void {
    this.#finish();
    this.#options.listener.connection({ state: "ended", reason });
  }

  #finish(): void {
    this.#finished = true;
    clearTimeout(this.#retry);
    this.#stopPulse?.();
    document.removeEventListener("visibilitychange", this.#wake);
    window.removeEventListener("online", this.#wake);
  }

  #drop(): void {
    this.#isReady = false;
    this.#pongDue = false;
    this.#rtt = null;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #sayLive(): void {
    if (!this.#finished) this.#options.listener.connection({ state: "live", rtt_ms: this.#rtt });
  }

  #sayRetrying(retryAt: number | null): void {
    const attempt = this.#attempt;
    this.#options.listener.connection(
      attempt < ATTEMPTS_BEFORE_OFFLINE
        ? { state: "reconnecting", attempt, retry_at: retryAt }
        : { state: "offline", attempt, retry_at: retryAt, reason: "Bridge not reachable" },
    );
  }
}

function inputAsText(frame: InputFrame): string {
  const input: ClientFrame = { type: "input", data_b64: toBase64(frame.bytes), epoch: frame.epoch, seq: frame.seq };
  return JSON.stringify(input);
}
