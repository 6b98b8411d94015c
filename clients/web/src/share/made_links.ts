/**
 * The share links that were made in this browser, so that they can be taken
 * back later. The bridge has no list of them, and their codes are kept nowhere:
 * who lost one makes another.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { readStored, writeStored } from "../access/identity";
import type { ShareFrom } from "../api/links";

export interface MadeLink {
  id: string;
  session: string;
  from: ShareFrom;
  expires_at: string;
}

const KEY = "baton.links";
const LINKS_MAX = 50;

export class MadeLinks {
  readonly #links = signal<readonly MadeLink[]>([]);

  constructor(now: number) {
    this.#links.value = living(parse(readStored(KEY)), now);
  }

  get all(): ReadonlySignal<readonly MadeLink[]> { return this.#links; }

  of(session: string, now: number): readonly MadeLink[] {
    return living(this.#links.value, now).filter((link) => link.session === session);
  }

  add(link: MadeLink, now: number): void {
    this.#keep([link, ...living(this.#links.peek(), now)].slice(0, LINKS_MAX));
  }

  remove(id: string): void {
    this.#keep(this.#links.peek().filter((link) => link.id !== id));
  }

  #keep(links: readonly MadeLink[]): void {
    this.#links.value = links;
    writeStored(KEY, JSON.stringify(links));
  }
}

function living(links: readonly MadeLink[], now: number): readonly MadeLink[] {
  return links.filter(({ expires_at }) => Date.parse(expires_at) > now);
}

function parse(text: string | null): readonly MadeLink[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value.filter(isLink).slice(0, LINKS_MAX) : [];
  } catch {
    return [];
  }
}

function isLink(value: unknown): value is MadeLink {
  if (typeof value !== "object" || value === null) return false;
  const { id, session, from, expires_at } = value as Partial<Record<keyof MadeLink, unknown>>;
  return [id, session, expires_at].every((part) => typeof part === "string") && (from === "here" || from === "start");
}
