/**
 * An agent's input that waits for a person: what it wants to type into the
 * session on the screen, in the order it wants to.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { Approval, HandoffRoutes } from "../api/handoff";
import { plain } from "../ui/plain_text";

type Routes = Pick<HandoffRoutes, "waitingInput" | "decide">;

/** More than this nobody reads in a strip; it is decided where there is room. */
export const PREVIEW_MAX = 4_000;

export interface Preview {
  text: string;
  /** All of it is in `text`: nobody decides about what they do not see. */
  whole: boolean;
}

export class HeldInput {
  readonly #routes: Routes;
  readonly #waiting = signal<readonly Approval[]>([]);
  /** What is being decided: a second press is about nothing. */
  readonly #deciding = signal<string | null>(null);
  #session: string | null = null;
  #reading = false;
  #again = false;

  constructor(routes: Routes) {
    this.#routes = routes;
  }

  get waiting(): ReadonlySignal<readonly Approval[]> { return this.#waiting; }
  get deciding(): ReadonlySignal<string | null> { return this.#deciding; }

  /** Which session is looked at; none when nobody holds an agent's input there. */
  watch(session: string | null): void {
    if (session === this.#session) return;
    this.#session = session;
    this.#waiting.value = [];
    void this.refresh();
  }

  /** Reads what waits; one read at a time, and once more when something changed meanwhile. */
  async refresh(): Promise<void> {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    do {
      this.#again = false;
      const session = this.#session;
      if (session === null) break;
      const waiting = await this.#routes.waitingInput(session).catch(() => null);
      if (waiting && session === this.#session) this.#waiting.value = waiting;
      else if (session !== this.#session) this.#again = true;
    } while (this.#again);
    this.#reading = false;
  }

  /** Throws what the bridge says when it will not. */
  async decide(approval: Approval, decision: "approve" | "deny"): Promise<void> {
    if (this.#deciding.peek() !== null) return;
    this.#deciding.value = approval.id;
    try {
      await this.#routes.decide(approval, decision);
    } finally {
      this.#deciding.value = null;
      await this.refresh();
    }
  }
}

/** What would be typed, with every key that has no letter written out. */
export function previewOf({ action, payload }: Pick<Approval, "action" | "payload">): Preview {
  const { data_b64, command } = (payload ?? {}) as { data_b64?: unknown; command?: unknown };
  if (action === "terminal.exec" && typeof command === "string") return cut(plain(command, "exact"));
  if (typeof data_b64 !== "string") return { text: "Not shown here: open it in Approvals.", whole: false };
  const bytes = Uint8Array.from(atob(data_b64), (char) => char.charCodeAt(0));
  const known: Readonly<Record<string, string>> = { "\r": "⏎", "\n": "⏎", "\t": "⇥", "\x1b": "Esc", "\x7f": "⌫" };
  const text = new TextDecoder().decode(bytes).replace(/[\x00-\x1f\x7f]/g, (char) => `⟨${known[char] ?? `Ctrl+${String.fromCharCode(char.charCodeAt(0) + 64)}`}⟩`);
  return cut(plain(text, "exact"));
}

function cut(text: string): Preview {
  return { text: text.slice(0, PREVIEW_MAX), whole: text.length <= PREVIEW_MAX };
}
