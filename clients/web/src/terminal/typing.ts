/**
 * Typing, where it meets the lease.
 *
 * A key goes to the program when we own the lease, claims it when nobody does, and otherwise types nothing and says so.
 */

import { signal } from "@preact/signals";
import type { ServerFrameOf } from "../api/protocol";
import type { Handoff } from "../lease/handoff";
import { claimableByTyping, type LeaseState } from "../lease/lease_view";
import { plainName } from "../lease/names";
import { Pasting, type PasteWay } from "../paste/pasting";
import type { Connection } from "../stream/connection";
import type { Tone } from "../ui/tone";
import { bytesText } from "../ui/words";

/** How long keys typed by the owner may wait for a connection before they are refused. */
const BLIND_TYPING_MS = 5_000;
const CLAIM_TIMEOUT_MS = 5_000;
const WAITING_BYTES_MAX = 1024 * 1024;

export interface TypingWay extends Pick<PasteWay, "bracketed" | "guarded" | "unsent"> {
  readonly watchOnly: boolean;
  readonly handoff: Handoff;
  ended(): boolean;
  mine(): boolean;
  lease(): LeaseState;
  connection(): Connection;
  /** Whether what is sent now leaves at once. */
  live(): boolean;
  /** False when it did not leave. */
  claim(force: boolean): boolean;
  /** To the program, which is ours. */
  send(bytes: Uint8Array): void;
  notConnected(): void;
  notify(text: string, tone: Tone): void;
}

export class Typing {
  /** Somebody typed here while another has control: show how to get it. */
  readonly hint = signal(false);
  readonly pasting: Pasting;
  readonly #way: TypingWay;
  #downSince: number | null = null;
  #waiting: Uint8Array[] = [];
  #claimTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(way: TypingWay) {
    this.#way = way;
    this.pasting = new Pasting({
      bracketed: () => way.bracketed(),
      guarded: () => way.guarded(),
      unsent: () => way.unsent(),
      mine: () => way.mine(),
      mayType: (bytes) => this.#mayType(bytes),
      type: (bytes) => this.type(bytes),
      notify: (text) => way.notify(text, "info"),
    });
  }

  dispose(): void {
    clearTimeout(this.#claimTimer);
  }

  /** Whether control was asked for and not answered yet. */
  get claiming(): boolean {
    return this.#claimTimer !== undefined;
  }

  type(bytes: Uint8Array): void {
    if (!this.#mayType(bytes.length)) return;
    if (this.#way.mine()) this.#way.send(bytes);
    else if (this.#wait(bytes) && !this.claiming) this.claim(false);
  }

  claim(force: boolean): void {
    this.hint.value = false;
    if (!this.#way.claim(force)) return this.#way.notConnected();
    clearTimeout(this.#claimTimer);
    this.#claimTimer = setTimeout(() => this.claimFailed("The bridge did not answer the claim."), CLAIM_TIMEOUT_MS);
  }

  claimFailed(why: string): void {
    const lost = this.#waiting.length > 0;
    this.#forgetClaim();
    this.#way.notify(lost ? `${why} Nothing was typed.` : why, "warn");
  }

  /** Another has control, and keeps it. */
  refused(): void {
    this.#forgetClaim();
    this.hint.value = true;
  }

  /** Control is ours: what waited for it is typed. */
  gained(): void {
    this.#settle();
    this.hint.value = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const bytes of waiting) this.#way.send(bytes);
    this.pasting.go();
  }

  /** Control is not ours any more. */
  lost(): void {
    this.pasting.lost();
  }

  connectionChanged({ state }: Connection): void {
    if (state === "live") this.#downSince = null;
    else this.#downSince ??= performance.now();
    if (state !== "live" && this.claiming) this.claimFailed("The connection dropped before control was yours.");
  }

  /** These bytes did not reach the program; without a reason it was started anew. */
  dropped(bytes: number, why: ServerFrameOf<"error"> | null): void {
    this.pasting.lost();
    const { notify, handoff, lease } = this.#way;
    const amount = bytesText(bytes);
    if (why === null) return notify(`The program was started anew; ${amount} typed for the old one were not typed.`, "warn");
    if (why.code === "input_full") return notify(`The program does not read its input. ${amount} were not typed; wait, then type them again.`, "warn");
    const moved = why.code === "not_owner" || why.code === "lease_lost";
    if (moved && handoff.dropped(bytes)) return;
    const taker = why.by ?? lease().owner_name;
    notify(`${amount} were not typed: ${taker ? plainName(taker) : "somebody else"} took control first.`, "warn");
  }

  /** Whether what is typed reaches the program, now or with the claim it causes; says why when not. */
  #mayType(bytes: number): boolean {
    const way = this.#way;
    if (way.ended()) way.notify("The session has ended; nothing was typed.", "info");
    else if (way.watchOnly) way.notify("You may watch this session but not type into it.", "info");
    else if (way.mine() ? !this.#mayTypeBlind() : !way.live()) way.notConnected();
    else if (!way.mine() && !this.claiming && !claimableByTyping(way.lease())) this.#typedInVain(bytes);
    else return true;
    return false;
  }

  #mayTypeBlind(): boolean {
    const { state } = this.#way.connection();
    // "Live" without a stream: it says its `hello` anew, and is back at once.
    if (this.#way.live() || state === "live") return true;
    if (state !== "reconnecting" && state !== "connecting") return false;
    return this.#downSince !== null && performance.now() - this.#downSince < BLIND_TYPING_MS;
  }

  /** Another has control: told once, by the banner of whoever took it or by the hint. */
  #typedInVain(bytes: number): void {
    if (!this.#way.handoff.typedInVain(bytes)) this.hint.value = true;
  }

  /** Keeps what was typed until the claim it caused is answered. */
  #wait(bytes: Uint8Array): boolean {
    this.#waiting.push(bytes);
    const held = this.#waiting.reduce((sum, part) => sum + part.length, 0);
    if (held <= WAITING_BYTES_MAX) return true;
    this.claimFailed(`${bytesText(held)} are too much to keep until control is yours. Claim it first.`);
    return false;
  }

  #settle(): void {
    clearTimeout(this.#claimTimer);
    this.#claimTimer = undefined;
  }

  #forgetClaim(): void {
    this.#settle();
    this.#waiting = [];
    this.pasting.lost();
  }
}
