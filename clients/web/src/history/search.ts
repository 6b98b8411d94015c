/** Looking for text in all the output a session keeps, as it was shown. */

import { batch, signal } from "@preact/signals";
import type { BatonClient } from "../api/client";
import { messageOf, wasAborted } from "../api/requests";
import { Latest } from "./latest";
import type { SearchAnswer, SearchHit } from "../api/protocol";

const TYPING_DELAY_MS = 250;

export class Search {
  readonly #client: Pick<BatonClient, "search">;
  readonly #sessionId: string;
  readonly #latest = new Latest(TYPING_DELAY_MS);

  readonly isOpen = signal(false);
  readonly text = signal("");
  readonly regex = signal(false);
  /** Oldest first; null before anything was looked for. */
  readonly hits = signal<readonly SearchHit[] | null>(null);
  readonly searching = signal(false);
  readonly error = signal<string | null>(null);
  /** From where there is more; null when everything kept was searched. */
  readonly next = signal<string | null>(null);
  /** The hit that is looked at. */
  readonly chosen = signal<SearchHit | null>(null);

  constructor(client: Pick<BatonClient, "search">, sessionId: string) {
    this.#client = client;
    this.#sessionId = sessionId;
  }

  close(): void {
    this.#latest.cancel();
    batch(() => {
      this.searching.value = false;
      this.isOpen.value = false;
    });
  }

  type(text: string): void {
    this.text.value = text;
    this.run(false);
  }

  useRegex(regex: boolean): void {
    this.regex.value = regex;
    this.run(true);
  }

  /** From the beginning, at once or when typing pauses. */
  run(now: boolean): void {
    if (this.text.peek() !== "") return this.#ask(null, now, (answer) => answer.items);
    this.#latest.cancel();
    batch(() => {
      this.hits.value = null;
      this.next.value = null;
      this.searching.value = false;
      this.error.value = null;
    });
  }

  more(): void {
    const from = this.next.peek();
    if (from) this.#ask(from, true, (answer) => [...(this.hits.peek() ?? []), ...answer.items]);
  }

  #ask(cursor: string | null, now: boolean, hits: (answer: SearchAnswer) => readonly SearchHit[]): void {
    const query = { text: this.text.peek(), regex: this.regex.peek(), cursor };
    this.searching.value = true;
    this.#latest.want(
      (signal) => this.#client.search(this.#sessionId, query, signal),
      (answer) => batch(() => {
        this.searching.value = false;
        this.error.value = null;
        this.hits.value = hits(answer);
        this.next.value = answer.next_cursor ?? null;
      }),
      (error) => batch(() => {
        this.searching.value = false;
        if (wasAborted(error)) return;
        this.error.value = messageOf(error);
        this.next.value = null;
        if (cursor === null) this.hits.value = null;
      }),
      now,
    );
  }
}

export interface Part {
  text: string;
  hit: boolean;
}

/** Cuts `line` at `matches`, which count bytes of its UTF-8, rise, and do not overlap. */
export function partsOf(line: string, matches: readonly (readonly [number, number])[]): Part[] {
  const bytes = new TextEncoder().encode(line);
  const decoder = new TextDecoder();
  const parts: Part[] = [];
  let at = 0;
  const cut = (end: number, hit: boolean): void => {
    const text = decoder.decode(bytes.subarray(at, end));
    if (text !== "") parts.push({ text, hit });
    at = Math.max(at, end);
  };
  for (const [start, end] of matches) {
    cut(Math.min(start, bytes.length), false);
    cut(Math.min(end, bytes.length), true);
  }
  cut(bytes.length, false);
  return parts;
}

/** The first text that was found in the line. */
export function foundIn(hit: SearchHit): string {
  return partsOf(hit.line, hit.matches).find((part) => part.hit)?.text ?? "";
}
