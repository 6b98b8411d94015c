/** That somebody asks, for a person who looks elsewhere: a sound, and the browser's own notification. Both only when wanted. */

import { signal } from "@preact/signals";
import { readStored, writeStored } from "../access/identity";
import type { Approval } from "../api/approvals";
import { plainName } from "../lease/names";
import { asksTo, RISKS } from "./words";

export interface AlertSettings {
  sound: boolean;
  notify: boolean;
}

/** What the browser gives for it. */
export interface Surroundings {
  /** Nobody sees the page. */
  isAway(): boolean;
  chime(): void;
  notify(title: string, body: string, onPress: () => void): void;
}

const KEY = "baton.approvals";
/** Of many at once one is heard. */
const CHIME_EVERY_MS = 3_000;

export class Alerts {
  readonly settings = signal<AlertSettings>(load());
  #chimedAt = -Infinity;

  constructor(
    private readonly around: Surroundings,
    private readonly open: (id: string) => void,
  ) {}

  change(part: Partial<AlertSettings>): void {
    this.settings.value = { ...this.settings.value, ...part };
    writeStored(KEY, JSON.stringify(this.settings.value));
  }

  /** These are new. A title names what is asked for and never what it holds: others may read it on a locked screen. */
  arrived(asked: readonly Approval[]): void {
    const [first] = asked;
    if (!first || !this.around.isAway()) return;
    const { sound, notify } = this.settings.peek();
    const now = performance.now();
    if (sound && now - this.#chimedAt >= CHIME_EVERY_MS) {
      this.#chimedAt = now;
      this.around.chime();
    }
    if (!notify) return;
    const title = asked.length === 1 ? "An agent asks for approval" : `${asked.length} requests wait for approval`;
    this.around.notify(title, `${plainName(first.requested_by_name)} asks to ${asksTo(first)}. ${RISKS[first.risk_level]}.`, () => this.open(first.id));
  }
}

function load(): AlertSettings {
  try {
    const stored = JSON.parse(readStored(KEY) ?? "{}") as Partial<AlertSettings> | null;
    return { sound: stored?.sound === true, notify: stored?.notify === true };
  } catch {
    return { sound: false, notify: false };
  }
}
