/** This tab on one session: the stream, the screen, and who has control. */

import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { BatonClient } from "../api/client";
import { copyText } from "../clipboard/copy";
import { ClipboardOffers } from "../clipboard/offers";
import type { Connection } from "../stream/connection";
import { Echo } from "../echo/echo";
import { EarlierLines } from "./earlier";
import type { OutputFrame } from "../stream/frame";
import { parseCursor } from "../stream/frame";
import { History } from "../history/history";
import { sameCells } from "./layout";
import { Asking, type ControlRequest } from "../lease/asking";
import { Handoff } from "../lease/handoff";
import { FREE, type LeaseState } from "../lease/lease_view";
import { plainName } from "../lease/names";
import { Modifiers } from "../phone/modifiers";
import type { Cells, ClientInfo, Exit, Principal, ServerFrameOf, SessionStatus, TermFacts } from "../api/protocol";
import type { Origin } from "./replies";
import { Screen } from "./screen";
import { Search } from "../history/search";
import { paletteOf } from "../settings/palettes";
import type { Settings, Shade } from "../settings/settings";
import { TerminalStream, type Ready, type SessionFrame } from "../stream/socket";
import type { Tone } from "../ui/tone";
import type { Vitals } from "../stream/vitals";
import { Typing } from "./typing";

/** xterm's own primary device attributes: a VT100 with advanced video. */
const DA1 = "1;2";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface AttachmentOptions {
  client: BatonClient;
  sessionId: string;
  clientId: string;
  inputStream: number;
  principal: Principal;
  settings: Settings;
  shade: Shade;
  notify(text: string, tone: Tone): void;
  signedOut(): void;
}

export class Attachment {
  readonly sessionId: string;
  readonly clientId: string;
  readonly screen: Screen;
  readonly history: History;
  readonly search: Search;
  readonly earlier: EarlierLines;
  readonly typing: Typing;
  readonly clipboard: ClipboardOffers;
  readonly #echo: Echo;
  readonly #options: AttachmentOptions;
  readonly #stream: TerminalStream;

  readonly #connection: Signal<Connection> = signal({ state: "connecting" });
  readonly #lease: Signal<LeaseState> = signal(FREE);
  readonly #known = signal(false);
  readonly #clients: Signal<readonly ClientInfo[]> = signal([]);
  readonly #status: Signal<SessionStatus> = signal("starting");
  readonly #exit: Signal<Exit | null> = signal(null);
  readonly #asking: Asking;
  readonly #title: Signal<string | null> = signal(null);
  /** Ctrl and Alt for the next key, on keyboards without them. */
  readonly modifiers = new Modifiers();
  /** How control came and went here. */
  readonly handoff: Handoff;

  /** Counts the bells of the program. */
  readonly bells = signal(0);

  #settings: Settings;
  #shade: Shade;
  #instance: string | null = null;
  #imageTold = false;
  #size: Cells | null = null;
  #sizeFixed = false;

  constructor(options: AttachmentOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#shade = options.shade;
    this.sessionId = options.sessionId;
    this.clientId = options.clientId;
    this.handoff = new Handoff(options.clientId, options.notify);
    this.#asking = new Asking(() => options.notify("Nobody answered your request for control.", "info"));
    this.screen = new Screen(options.settings, options.shade, {
      parsed: (offset) => {
        this.#stream.parsed(offset);
        this.#echo.parsed();
      },
      data: (bytes, origin) => this.#data(bytes, origin),
      room: (cells) => this.#roomChanged(cells),
      top: (wanted) => this.earlier.offer(wanted),
      clipboard: (data) => this.clipboard.said(data),
      image: () => this.#imageSent(),
      bell: () => void (this.bells.value += 1),
    });
    this.#echo = new Echo(this.screen.term, options.settings.echo, () => this.#stream.vitals().round_trip?.ms ?? null);
    this.typing = new Typing({
      watchOnly: this.watchOnly,
      handoff: this.handoff,
      bracketed: () => this.screen.term.modes.bracketedPasteMode,
      guarded: () => this.#settings.paste_guard,
      unsent: () => this.#stream.unsentBytes,
      ended: () => this.#exit.value !== null || this.#connection.value.state === "ended",
      mine: () => this.#mine,
      lease: () => this.#lease.value,
      connection: () => this.#connection.value,
      live: () => this.#stream.live,
      claim: (force) => this.#stream.send({ type: "claim", force }),
      send: (bytes) => this.#echo.typed(bytes, this.#stream.type(bytes, this.#lease.value.epoch)),
      notConnected: () => this.#notConnected(),
      notify: options.notify,
    });
    this.clipboard = new ClipboardOffers({
      sessionId: options.sessionId,
      policy: () => this.#settings.clipboard,
      live: () => this.#mine && this.screen.live,
      copy: copyText,
      notify: (text) => options.notify(text, "info"),
    });
    this.history = new History(options.client, options.sessionId);
    this.search = new Search(options.client, options.sessionId);
    this.earlier = new EarlierLines({ ...options, screen: this.screen });
    this.#stream = new TerminalStream({
      client: options.client,
      sessionId: options.sessionId,
      clientId: options.clientId,
      inputStream: options.inputStream,
      introduce: () => this.#introduce(),
      listener: {
        connection: (connection) => this.#connectionChanged(connection),
        ready: (frame, continued) => this.#ready(frame, continued),
        output: (frame, cells) => this.#output(frame, cells),
        frame: (frame) => this.#frame(frame),
        acknowledged: (seq) => {
          this.#echo.acknowledged(seq);
          this.typing.pasting.go();
        },
        inputDropped: (bytes, why) => this.#inputDropped(bytes, why),
        signedOut: () => options.signedOut(),
      },
    });
  }

  get connection(): ReadonlySignal<Connection> { return this.#connection; }
  get lease(): ReadonlySignal<LeaseState> { return this.#lease; }
  /** Whether the worker has said who owns; before, `lease` is a guess. */
  get known(): ReadonlySignal<boolean> { return this.#known; }
  get clients(): ReadonlySignal<readonly ClientInfo[]> { return this.#clients; }
  get status(): ReadonlySignal<SessionStatus> { return this.#status; }
  get exit(): ReadonlySignal<Exit | null> { return this.#exit; }
  /** Who asks us for control, oldest first. */
  get requests(): ReadonlySignal<readonly ControlRequest[]> { return this.#asking.requests; }
  /** Whether we are asking for control. */
  get asked(): ReadonlySignal<boolean> { return this.#asking.asked; }
  get terminalTitle(): ReadonlySignal<string | null> { return this.#title; }
  get cursor(): string { return this.#stream.cursor; }
  /** How the stream is; asked for while somebody looks. */
  vitals(): Vitals { return { ...this.#stream.vitals(), epoch: this.#lease.peek().epoch }; }
  get watchOnly(): boolean { return this.#options.principal.role === "viewer"; }

  /** Shows the terminal in `box` and connects. */
  mount(box: HTMLElement): void {
    this.screen.open(box);
    this.#stream.start();
  }

  dispose(): void {
    this.history.close();
    this.search.close();
    this.typing.dispose();
    this.#asking.dispose();
    this.handoff.dispose();
    this.earlier.dispose();
    this.#echo.dispose();
    this.clipboard.forget();
    this.#stream.stop();
    this.screen.dispose();
  }

  retryNow(): void {
    this.#stream.retryNow();
  }

  /** Gives the terminal the keyboard, where that does not open one on the screen. */
  focus(): void {
    if (!matchMedia("(pointer: coarse)").matches) this.screen.term.focus();
  }

  toggleHistory(): void {
    if (this.history.isOpen.peek()) this.history.close();
    else this.history.open(null);
  }

  openSearch(): void {
    this.search.isOpen.value = true;
  }

  closeSearch(): void {
    this.search.close();
    if (!this.history.isOpen.peek()) this.focus();
  }

  /** The terminal's own facts changed: who answers queries in its name must know. */
  configure(settings: Settings, shade: Shade): void {
    const changed = paletteOf(settings, shade) !== paletteOf(this.#settings, this.#shade);
    this.#settings = settings;
    this.#shade = shade;
    this.screen.configure(settings, shade);
    this.#echo.configure(settings.echo);
    // While there is no connection nobody needs to be told: `hello` says it.
    if (changed) this.#stream.send({ type: "facts", term: this.#facts() });
  }

  claim(force: boolean): void {
    this.typing.claim(force);
  }

  release(): void {
    if (!this.#stream.send({ type: "release" })) return this.#notConnected();
    this.handoff.releases();
  }

  ask(): void {
    this.typing.hint.value = false;
    if (!this.#stream.send({ type: "request_control" })) return this.#notConnected();
    this.#asking.begin();
  }

  give(clientId: string): void {
    if (!this.#stream.send({ type: "transfer", to_client_id: clientId })) return this.#notConnected();
    this.handoff.gives(clientId);
  }

  deny(clientId: string): void {
    if (!this.#stream.send({ type: "deny_control", client_id: clientId })) return this.#notConnected();
    this.#asking.forget(clientId);
  }

  /** Whoever came by a share link is a principal of the link's own. */
  get #byShareLink(): boolean {
    return this.#options.principal.id.startsWith("lnk_");
  }

  get #mine(): boolean {
    return this.#lease.value.owner === this.clientId;
  }

  #introduce(): ReturnType<ConstructorParameters<typeof TerminalStream>[0]["introduce"]> {
    const { principal } = this.#options;
    return { name: principal.name, ...(this.screen.room ?? {}), term: this.#facts() };
  }

  /** What this terminal is like: programs that ask are answered in its name. */
  #facts(): TermFacts {
    const { cell } = this.screen;
    const { foreground, background } = paletteOf(this.#settings, this.#shade);
    return {
      fg: foreground,
      bg: background,
      da1: DA1,
      // It does not speak the kitty keyboard protocol.
      kitty: null,
      cell_px: cell.width > 0 ? [Math.round(cell.width), Math.round(cell.height)] : null,
    };
  }

  #connectionChanged(connection: Connection): void {
    this.#connection.value = connection;
    if (connection.state !== "live") this.#echo.forget();
    this.typing.connectionChanged(connection);
    if (connection.state !== "live" && this.asked.value) {
      this.#asking.end();
      this.#options.notify("The connection dropped, and your request for control with it. Ask again once it is back.", "warn");
    }
  }

  #ready(frame: Ready, continued: boolean): void {
    const { notify } = this.#options;
    if (!continued && frame.mode !== "snapshot") {
      this.screen.reset();
      this.earlier.cut(false);
    }
    if (frame.mode === "gap") notify(this.#byShareLink ? "The link begins where it was made: what was before is not shown." : `${frame.lost ?? "Some"} bytes of older output are no longer kept.`, "info");
    if (frame.restarted) notify("The program was started anew since you last saw it.", "info");
    if (frame.instance === this.#instance) this.#echo.forget();
    else this.#echo.restart();
    this.#instance = frame.instance;
    this.#sizeFixed = frame.size.policy === "fixed";
    this.#resized(frame);
    this.screen.replayUntil(parseCursor(frame.cursor)?.offset ?? 0);
    this.#status.value = frame.status;
    if (frame.status === "running" || frame.status === "starting") this.#exit.value = null;
    const first = !this.#known.value;
    this.#known.value = true;
    this.#leaseChanged({
      owner: frame.lease_owner ?? null,
      owner_name: frame.owner_name ?? null,
      owner_kind: frame.owner_kind ?? null,
      epoch: frame.epoch,
      expired: hasPassed(frame.lease_expires_at),
    }, first ? "first" : "again");
  }

  #output(frame: OutputFrame, cells: Cells | null): void {
    if (frame.kind === "data") return this.screen.write(frame.bytes, frame.offset);
    if (cells) this.#size = { cols: cells.cols, rows: cells.rows };
    this.#echo.forget();
    // The lines above the old screen are not the lines above this one: they are asked for, not kept.
    this.screen.restart(frame.bytes, frame.offset, cells);
    this.earlier.cut(true);
  }

  #frame(frame: SessionFrame): void {
    switch (frame.type) {
      case "lease":
        return this.#leaseChanged({
          owner: frame.owner ?? null,
          owner_name: frame.owner_name ?? null,
          owner_kind: frame.owner_kind ?? null,
          epoch: frame.epoch,
          expired: frame.expired ?? false,
        });
      case "clients":
        this.#clients.value = frame.clients;
        return this.#asking.here(frame.clients);
      case "control_requested":
        return this.#asking.heard(frame.client_id, frame.name);
      case "control_denied":
        this.#asking.end();
        return this.#options.notify(frame.by ? `${plainName(frame.by)} said no, and keeps control.` : "Nobody answered your request for control.", "info");
      case "mode":
        this.#title.value = frame.title ?? null;
        return;
      case "denied":
        return this.#options.notify(`${frame.message.charAt(0).toUpperCase()}${frame.message.slice(1)}`, "error");
      case "limit":
        return this.#options.notify(limitText(frame), frame.state === "failing" || frame.state === "reached" ? "error" : "info");
      case "resize":
        return this.#resized(frame);
      case "exit":
        this.#status.value = "exited";
        this.#exit.value = { code: frame.code ?? null, signal: frame.signal ?? null, reason: frame.reason };
        return;
      case "error":
        return this.#failed(frame);
    }
  }

  /** `met`: not seen as it happened, but found by the first or by another connection. */
  #leaseChanged(lease: LeaseState, met: "first" | "again" | null = null): void {
    const before = met === "first" ? lease : this.#lease.value;
    const wasMine = this.#lease.value.owner === this.clientId;
    this.#lease.value = lease;
    this.handoff.changed(before, lease, { claimed: this.typing.claiming, asked: this.asked.value }, met !== null);
    this.screen.wheelTypes = this.#mine;
    if (this.#mine) {
      this.#asking.end();
      this.typing.gained();
      if (!wasMine) this.#applyRoom();
      return;
    }
    this.#echo.forget();
    this.clipboard.forget();
    if (wasMine) {
      this.typing.lost();
      this.#asking.forgetAll();
    }
  }

  #data(raw: Uint8Array, origin: Exclude<Origin, "reply">): void {
    // Whoever looks at the past does not type into the present.
    if (this.history.isOpen.peek()) return;
    if (origin === "report") {
      if (this.#mine && this.#stream.live) this.#stream.type(raw, this.#lease.value.epoch);
      return;
    }
    this.typing.type(this.modifiers.held ? encoder.encode(this.modifiers.applyTo(decoder.decode(raw))) : raw);
  }

  /** Pastes this text, after a question if it is one to be asked about. */
  paste(text: string): void {
    if (!this.history.isOpen.peek()) this.typing.pasting.paste(text);
  }

  /** A file was pasted or dropped. */
  refuseFile(): void {
    this.#options.notify("An image or a file cannot be typed into a terminal, and uploads are not there yet. Save it on the host and type its path.", "info");
  }

  /** Copies what is marked, if anything is. */
  async copySelection(): Promise<void> {
    const { term } = this.screen;
    if (!term.hasSelection()) return;
    if (!(await copyText(term.getSelection()))) this.#options.notify("The browser did not let the text onto the clipboard.", "warn");
  }

  #imageSent(): void {
    if (this.#imageTold) return;
    this.#imageTold = true;
    this.#options.notify("The program sent an image. A terminal here shows text only.", "info");
  }

  #failed(frame: ServerFrameOf<"error">): void {
    const { notify } = this.#options;
    switch (frame.code) {
      case "lease_held": {
        this.#lease.value = {
          ...this.#lease.value,
          owner_name: frame.owner_name ?? this.#lease.value.owner_name,
          owner_kind: frame.owner_kind ?? this.#lease.value.owner_kind,
          expired: false,
        };
        return this.typing.refused();
      }
      case "size_fixed":
        this.#sizeFixed = true;
        return;
      case "input_uncertain":
        return notify("The session's host restarted in the middle of a key press. Check the screen: that last input may or may not have arrived.", "warn");
      case "not_owner":
      case "lease_lost":
      case "input_full":
        // What it cost is told by `inputDropped`; a refused resize costs nothing.
        return;
      case "not_found":
      case "client_id_taken":
        // The stream ends with it, and that is told in its place.
        return;
      case "session_ended":
        this.#status.value = "exited";
        return notify(frame.message, "info");
      default:
        if (this.typing.claiming) this.typing.claimFailed(frame.message);
        else notify(frame.message, "warn");
        if (this.asked.value) this.#asking.end();
    }
  }

  #inputDropped(bytes: number, why: ServerFrameOf<"error"> | null): void {
    if (bytes === 0) return;
    this.#echo.forget();
    this.typing.dropped(bytes, why);
  }

  #notConnected(): void {
    this.#options.notify("Not connected: nothing was sent.", "warn");
  }

  #resized({ cols, rows }: Cells): void {
    if (!sameCells({ cols, rows }, this.#size)) this.#echo.forget();
    this.#size = { cols, rows };
    this.screen.resize(this.#size);
  }

  #roomChanged(room: Cells): void {
    this.#stream.send({ type: "viewport", ...room });
    this.#applyRoom();
  }

  /** The owner's window sets the session's size, unless the session's is fixed. */
  #applyRoom(): void {
    const room = this.screen.room;
    if (!room || !this.#mine || this.#sizeFixed || sameCells(room, this.#size)) return;
    this.#stream.send({ type: "resize", ...room });
  }
}

function hasPassed(time: string | null | undefined): boolean {
  return time ? Date.parse(time) < Date.now() : false;
}

/** What a `limit` frame says, for people. */
function limitText(frame: { what: string; state: string; error?: string | null; lost?: number | null; message?: string | null }): string {
  if (frame.state === "reached") return `A limit of this session is reached: ${frame.message ?? frame.what}.`;
  if (frame.state === "eased") return `This session has room again (${frame.what}).`;
  if (frame.state === "failing") {
    return `The ${frame.what} cannot be written${frame.error ? ` (${frame.error})` : ""}. The session goes on; its output is not kept.`;
  }
  return `The ${frame.what} can be written again${frame.lost ? `; ${frame.lost} bytes of output are missing in it` : ""}.`;
}
