/**
 * What programs put on the clipboard (OSC 52), by the policy of this screen's user.
 *
 * Only output that comes while we have control counts: what is replayed, restored or looked back at was meant for somebody else, or
 * for another time. Reading the clipboard is answered by nobody (`queries.ts`).
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { ClipboardPolicy } from "../settings/settings";

/** More than a person copies by hand. */
export const CLIPBOARD_BYTES_MAX = 256 * 1024;
/** Sessions whose programs may for as long as this page is open. */
const ALLOWED_MAX = 200;
const allowed = new Set<string>();
/** A text is seen this long before it can be allowed: a program could exchange it under the finger. */
const SEEN_MS = 500;

export interface ClipboardWay {
  sessionId: string;
  policy(): ClipboardPolicy;
  /** Whether the output that is parsed now is live, and ours. */
  live(): boolean;
  copy(text: string): Promise<boolean>;
  notify(text: string): void;
}

export class ClipboardOffers {
  readonly #way: ClipboardWay;
  readonly #offer = signal<string | null>(null);
  readonly #seen = signal(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(way: ClipboardWay) {
    this.#way = way;
  }

  /** The text that waits for an answer; a newer one takes its place. */
  get offer(): ReadonlySignal<string | null> { return this.#offer; }
  /** Whether it was there long enough to be allowed. */
  get seen(): ReadonlySignal<boolean> { return this.#seen; }

  /** The program said OSC 52 with `data`. */
  said(data: string): void {
    const { policy, live, notify, sessionId } = this.#way;
    if (!live() || policy() === "deny") return;
    const text = clipboardText(data);
    if (text === null) return;
    if (text === "too large") return notify(`The program wanted to put more than ${CLIPBOARD_BYTES_MAX / 1024} KiB on your clipboard. That is not done.`);
    if (policy() === "allow" || allowed.has(sessionId)) void this.#copy(text.text);
    else this.#ask(text.text);
  }

  answer(how: "once" | "always" | "deny"): void {
    const text = this.#offer.peek();
    if (how !== "deny" && !this.#seen.peek()) return;
    this.forget();
    if (text === null || how === "deny") return;
    if (how === "always" && allowed.size < ALLOWED_MAX) allowed.add(this.#way.sessionId);
    void this.#copy(text);
  }

  /** Whoever loses control is asked nothing any more. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#offer.value = null;
  }

  #ask(text: string): void {
    if (text === this.#offer.peek()) return;
    clearTimeout(this.#timer);
    this.#offer.value = text;
    this.#seen.value = false;
    this.#timer = setTimeout(() => (this.#seen.value = true), SEEN_MS);
  }

  async #copy(text: string): Promise<void> {
    const { copy, notify } = this.#way;
    notify((await copy(text)) ? "The program put text on your clipboard." : "The browser did not let the program's text onto your clipboard.");
  }
}

/** The text of `Pc ; Pd`; null when there is none to set. */
export function clipboardText(data: string): { text: string } | "too large" | null {
  const at = data.indexOf(";");
  if (at < 0) return null;
  const encoded = data.slice(at + 1);
  if (encoded === "" || encoded === "?") return null;
  if (encoded.length > Math.ceil(CLIPBOARD_BYTES_MAX / 3) * 4) return "too large";
  try {
    const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text === "" ? null : { text };
  } catch {
    // Neither base64 nor text.
    return null;
  }
}
