/** The lines above a screen that was sent without them: there when somebody looks for them. */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { BatonClient } from "../api/client";
import { messageOf } from "../api/requests";
import { SCROLLBACK_LINES, type Screen } from "./screen";
import type { Tone } from "../ui/tone";

/** `kept`: they can be asked for. `offered`: somebody looks for them right now. */
export type EarlierState = "none" | "kept" | "offered" | "loading";

/** How long the way to them covers the first line. */
const OFFER_MS = 8_000;
/** They are asked for again when the output ran away from the answer. */
const TRIES = 3;

export interface EarlierOptions {
  client: Pick<BatonClient, "snapshot">;
  sessionId: string;
  screen: Pick<Screen, "extend">;
  notify(text: string, tone: Tone): void;
}

export class EarlierLines {
  readonly #options: EarlierOptions;
  readonly #state = signal<EarlierState>("none");
  #offerTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EarlierOptions) {
    this.#options = options;
  }

  get state(): ReadonlySignal<EarlierState> {
    return this.#state;
  }

  dispose(): void {
    clearTimeout(this.#offerTimer);
  }

  /** The screen stands alone now, or has every line that there is. */
  cut(isCut: boolean): void {
    this.#state.value = isCut ? "kept" : "none";
  }

  /** Somebody looks above the first line, or no longer. */
  offer(wanted: boolean): void {
    const state = this.#state.value;
    if (state !== "kept" && state !== "offered") return;
    clearTimeout(this.#offerTimer);
    this.#state.value = wanted ? "offered" : "kept";
    if (wanted) this.#offerTimer = setTimeout(() => this.offer(false), OFFER_MS);
  }

  async load(): Promise<void> {
    if (this.#state.value === "loading" || this.#state.value === "none") return;
    this.#state.value = "loading";
    const { notify } = this.#options;
    let loaded = false;
    try {
      loaded = await this.#load();
      if (!loaded) notify("The output runs too fast to put earlier lines above it. Try again when it is calmer.", "warn");
    } catch (error) {
      notify(messageOf(error), "error");
    }
    if (this.#state.value === "loading") this.cut(!loaded);
  }

  async #load(): Promise<boolean> {
    const { client, sessionId, screen, notify } = this.#options;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const lines = await screen.extend(() => client.snapshot(sessionId, null, SCROLLBACK_LINES));
      if (lines === null) continue;
      if (lines === 0) notify("Nothing above this is kept as lines. “History” goes back to every screen.", "info");
      return true;
    }
    return false;
  }
}
