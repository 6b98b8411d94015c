/**
 * The audit log, a page at a time, and the check of its chain.
 *
 * Only the page in sight is held. The newest rows are on top, as people look for them; the chain runs the other way, which is
 * the bridge's business: it checks all of it and names the first row that is wrong.
 */

import { batch, signal } from "@preact/signals";
import { readStored, writeStored } from "../access/identity";
import type { AuditQuery, AuditRoutes } from "../api/audit";
import type { AuditRow, AuditVerification } from "../api/protocol";
import { messageOf, Refused, wasAborted } from "../api/requests";
import { Latest } from "../history/latest";

const PAGE_ROWS = 50;
/**
 * Where this browser keeps the last head that was whole. Whoever can write the database and has the key that signs it could put
 * an older log in place, or a new one: what was written down elsewhere is then not in it.
 */
const HEAD = "baton.audit.head";
const HEAD_FORM = /^[1-9]\d{0,15}:[0-9a-f]{64}$/;
/** Actors to choose from, by what was seen. */
const ACTORS_MAX = 200;

export interface AuditFilter {
  action: string | null;
  actor: string | null;
  session: string | null;
}

export const EVERYTHING: AuditFilter = { action: null, actor: null, session: null };

export type Verification =
  | { state: "none" }
  | { state: "checking"; since: number }
  | { state: "checked"; at: number; took: number; answer: AuditVerification }
  | { state: "failed"; why: string };

export class Audit {
  readonly #routes: Pick<AuditRoutes, "page" | "verify">;
  readonly #latest = new Latest(0);
  #checking: AbortController | null = null;

  /** The page, newest first; null before there is one. */
  readonly rows = signal<readonly AuditRow[] | null>(null);
  readonly loading = signal(false);
  readonly error = signal<string | null>(null);
  /** Why this person may not read it. */
  readonly refused = signal<string | null>(null);
  readonly filter = signal<AuditFilter>(EVERYTHING);
  readonly hasOlder = signal(false);
  readonly hasNewer = signal(false);
  readonly expanded = signal<number | null>(null);
  readonly verification = signal<Verification>({ state: "none" });
  /** Principals seen, by id. */
  readonly actors = signal<ReadonlyMap<string, string>>(new Map());

  constructor(routes: Pick<AuditRoutes, "page" | "verify">) {
    this.#routes = routes;
  }

  /** The row that the last check named. */
  get broken(): number | null {
    const { value } = this.verification;
    return value.state === "checked" ? (value.answer.broken?.seq ?? null) : null;
  }

  newest(): void {
    this.#ask({ order: "newest", cursor: null }, (rows, more) => this.#show(rows, more, false));
  }

  older(): void {
    const last = this.rows.peek()?.at(-1);
    if (last) this.#ask({ order: "newest", cursor: last.seq }, (rows, more) => this.#show(rows, more, true));
  }

  newer(): void {
    const first = this.rows.peek()?.[0];
    if (!first) return this.newest();
    this.#ask({ order: "oldest", cursor: first.seq }, (rows, more) => {
      // The newest page is a full one.
      if (!more) return this.newest();
      this.#show(rows.reverse(), true, true);
    });
  }

  choose(part: Partial<AuditFilter>): void {
    this.filter.value = { ...this.filter.peek(), ...part };
    this.newest();
  }

  /** The page around a row, whether it is there or not; of everything, since its neighbours tell what is wrong with it. */
  around(seq: number): void {
    this.filter.value = EVERYTHING;
    const cursor = seq + PAGE_ROWS / 2;
    this.#ask({ order: "newest", cursor }, (rows, more) => {
      // Short of where it was to begin, it begins with the newest row.
      this.#show(rows, more, rows[0]?.seq === cursor - 1);
      this.expanded.value = rows.some((row) => row.seq === seq) ? seq : null;
    });
  }

  async verify(): Promise<void> {
    this.#checking?.abort();
    const checking = (this.#checking = new AbortController());
    const since = performance.now();
    this.verification.value = { state: "checking", since: Date.now() };
    try {
      const answer = await this.#routes.verify(this.knownHead, checking.signal);
      if (checking.signal.aborted) return;
      if (answer.ok && answer.head) writeStored(HEAD, answer.head);
      this.verification.value = { state: "checked", at: Date.now(), took: performance.now() - since, answer };
      if (answer.broken) this.around(answer.broken.seq);
      // The check is in the log itself.
      else if (!this.hasNewer.peek()) this.newest();
    } catch (error) {
      if (!checking.signal.aborted) this.verification.value = { state: "failed", why: messageOf(error) };
    }
  }

  /** The head that the next check compares with; null when this browser knows none. */
  get knownHead(): string | null {
    const head = readStored(HEAD) ?? "";
    return HEAD_FORM.test(head) ? head : null;
  }

  /** Another log stands here, and that is as it should be. */
  forgetHead(): void {
    writeStored(HEAD, "");
    void this.verify();
  }

  cancelVerify(): void {
    this.#checking?.abort();
    this.verification.value = { state: "none" };
  }

  /** Somebody else may sign in here: nothing of this stays. */
  forget(): void {
    this.#latest.cancel();
    this.#checking?.abort();
    batch(() => {
      this.rows.value = null;
      this.loading.value = false;
      this.error.value = this.refused.value = null;
      this.filter.value = EVERYTHING;
      this.expanded.value = null;
      this.verification.value = { state: "none" };
      this.actors.value = new Map();
    });
  }

  #ask(where: Pick<AuditQuery, "order" | "cursor">, show: (rows: AuditRow[], more: boolean) => void): void {
    const query = { ...this.filter.peek(), ...where, limit: PAGE_ROWS };
    batch(() => {
      this.loading.value = true;
      this.error.value = null;
    });
    this.#latest.want(
      (signal) => this.#routes.page(query, signal),
      ({ items, next_cursor }) => batch(() => {
        this.loading.value = false;
        this.refused.value = null;
        this.#noteActors(items);
        show([...items], typeof next_cursor === "string");
      }),
      (error) => batch(() => {
        this.loading.value = false;
        if (wasAborted(error)) return;
        if (error instanceof Refused && error.status === 403) this.refused.value = error.message;
        else this.error.value = messageOf(error);
      }),
      true,
    );
  }

  #show(rows: readonly AuditRow[], older: boolean, newer: boolean): void {
    this.rows.value = rows;
    this.hasOlder.value = older;
    this.hasNewer.value = newer;
    this.expanded.value = null;
  }

  #noteActors(rows: readonly AuditRow[]): void {
    const known = this.actors.peek();
    const fresh = rows.filter(({ actor }) => !known.has(actor.id));
    if (fresh.length === 0) return;
    const actors = new Map(known);
    for (const { actor } of fresh) if (actors.size < ACTORS_MAX) actors.set(actor.id, actor.name || actor.id);
    this.actors.value = actors;
  }
}

/** The rows of a page, and where the broken one would stand if it is not there. */
export function withMissing(rows: readonly AuditRow[], broken: number | null): (AuditRow | { missing: number })[] {
  if (broken === null || rows.some(({ seq }) => seq === broken)) return [...rows];
  const at = rows.findIndex(({ seq }) => seq < broken);
  const place = at < 0 ? rows.length : at;
  // On another page.
  if (rows.length > 0 && place === 0 && (rows[0]?.seq ?? 0) + 1 < broken) return [...rows];
  if (place === rows.length && (rows.at(-1)?.seq ?? 1) - 1 > broken) return [...rows];
  return [...rows.slice(0, place), { missing: broken }, ...rows.slice(place)];
}
