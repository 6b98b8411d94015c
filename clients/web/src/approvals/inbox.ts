/**
 * What waits for a person, what became of it, and the person's word.
 *
 * Events say only that something is about a request: the request itself is read. A request goes one way (waits, decided, done), so
 * of two answers about it the one further along is the newer.
 */

import { batch, computed, signal } from "@preact/signals";
import { uuid } from "../access/identity";
import type { Approval, ApprovalRoutes, ApprovalStatus, Decision, DecisionRequest } from "../api/approvals";
import type { SessionEvent } from "../api/protocol";
import { messageOf, Refused } from "../api/requests";
import { fieldsOf } from "./payload";
import { isFinal, refusalText } from "./words";

/** Requests that are kept besides those that wait. */
const DECIDED_MAX = 300;
/** More than this many to be read one by one, and the list is read instead. */
const READS_MAX = 12;
/** A read that failed is tried again so much later. */
const READ_AGAIN_MS = 2_000;

type Routes = Pick<ApprovalRoutes, "pending" | "page" | "one" | "decide">;

/** A person's word, but for what it is about. */
export type Said = Omit<DecisionRequest, "context_hash">;

export interface Failure {
  code: string;
  text: string;
}

interface Attempt {
  body: string;
  key: string;
}

export class Inbox {
  readonly #known = signal<ReadonlyMap<string, Approval>>(new Map());
  /** Whether the list was read; nothing is new before. */
  readonly isRead = signal(false);
  /** Whether this principal sees approvals at all; a link to watch one session does not show them. */
  readonly isAllowed = signal(true);
  readonly trouble = signal<string | null>(null);
  /** More wait than are read. */
  readonly hasMore = signal(false);
  /** Where older ones go on; null when there are none, undefined before the first page. */
  readonly older = signal<string | null | undefined>(undefined);
  readonly isReadingOlder = signal(false);
  /** The request on the screen; null for the list. */
  readonly shown = signal<string | null>(null);
  /** Decisions that the bridge has not answered. */
  readonly deciding = signal<ReadonlyMap<string, Decision>>(new Map());
  /** Decisions that did not count, by request. */
  readonly failures = signal<ReadonlyMap<string, Failure>>(new Map());
  /** How far the bridge's clock is ahead. */
  readonly ahead = signal(0);

  /** Soonest to expire first: those run out. */
  readonly pending = computed(() => [...this.#known.value.values()].filter(({ status }) => status === "pending").sort(bySoonest));
  /** How many of them wait, by session. */
  readonly waitingIn = computed<ReadonlyMap<string, number>>(() => {
    const counts = new Map<string, number>();
    for (const { session_id: id } of this.pending.value) if (id) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  });
  readonly decided = computed(() => [...this.#known.value.values()].filter(({ status }) => status !== "pending").sort(byNewest));

  readonly #attempts = new Map<string, Attempt>();
  readonly #dirty = new Set<string>();
  /** Asked for and not there. */
  readonly #missing = new Set<string>();
  #isReading = false;
  #wholeWanted = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  /** Counts sign-ins: an answer for the one before is nobody's. */
  #era = 0;

  constructor(
    private readonly routes: Routes,
    private readonly arrived: (asked: readonly Approval[]) => void,
  ) {}

  byId(id: string | null | undefined): Approval | null {
    return (id && this.#known.value.get(id)) || null;
  }

  event({ type, scope_id, data }: Partial<SessionEvent>): void {
    if (!type?.startsWith("approval.")) return;
    const id = fieldsOf(data)["approval_id"] ?? scope_id;
    if (typeof id === "string") this.#read(id);
  }

  /** Events may have been missed. */
  missed(): void {
    this.#wholeWanted = true;
    void this.#readOn();
  }

  /** Nobody is signed in any more. */
  clear(): void {
    this.#era += 1;
    clearTimeout(this.#again);
    this.#wholeWanted = false;
    for (const set of [this.#attempts, this.#dirty, this.#missing]) set.clear();
    batch(() => {
      this.#known.value = new Map();
      this.isRead.value = this.hasMore.value = this.isReadingOlder.value = false;
      this.isAllowed.value = true;
      this.trouble.value = this.shown.value = null;
      this.older.value = undefined;
      this.deciding.value = new Map();
      this.failures.value = new Map();
    });
  }

  /** Reads a request that is named by another one, once. */
  want(id: string | null | undefined): void {
    if (id && !this.#known.peek().has(id) && !this.#missing.has(id)) this.#read(id);
  }

  /** The next page of those that were decided. */
  async readOlder(): Promise<void> {
    const from = this.older.peek();
    if (from === null || this.isReadingOlder.peek()) return;
    const era = this.#era;
    this.isReadingOlder.value = true;
    try {
      const { items, next } = await this.routes.page(from ?? null);
      if (era !== this.#era) return;
      batch(() => {
        this.#learn(items);
        this.older.value = this.decided.peek().length >= DECIDED_MAX ? null : next;
        this.trouble.value = null;
      });
    } catch (error) {
      if (era !== this.#era) return;
      if (isGone(error)) this.isAllowed.value = false;
      else this.trouble.value = messageOf(error);
    } finally {
      if (era === this.#era) this.isReadingOlder.value = false;
    }
  }

  /** Decides about what the screen shows. Does nothing while a decision about it is under way. */
  async decide(shown: Approval, said: Said): Promise<void> {
    const { id, context_hash } = shown;
    if (this.deciding.peek().has(id)) return;
    const era = this.#era;
    const request: DecisionRequest = { ...said, context_hash };
    const attempt = this.#attempt(id, JSON.stringify(request));
    batch(() => {
      this.deciding.value = new Map(this.deciding.peek()).set(id, said.decision);
      this.#fail(id, null);
    });
    let failure: Failure | null = null;
    try {
      const decided = await this.routes.decide(id, request, attempt.key);
      if (era !== this.#era) return;
      this.#attempts.delete(id);
      this.#learn([decided]);
      this.want(decided.superseded_by);
    } catch (error) {
      if (era !== this.#era) return;
      if (error instanceof Refused) {
        this.#attempts.delete(id);
        failure = { code: error.code, text: refusalText(error.code, error.message) };
      } else {
        // It may have counted: the same again finds out, and reading does too.
        failure = { code: "unreachable", text: `${messageOf(error)} Whether your decision counted is not known; it is looked up as soon as the bridge answers.` };
      }
      this.#read(id);
    } finally {
      if (era === this.#era) {
        const deciding = new Map(this.deciding.peek());
        deciding.delete(id);
        batch(() => {
          this.deciding.value = deciding;
          this.#fail(id, failure);
        });
      }
    }
  }

  /** The same decision whose answer was lost is the same attempt. */
  #attempt(id: string, body: string): Attempt {
    const before = this.#attempts.get(id);
    const attempt = before?.body === body ? before : { body, key: uuid() };
    this.#attempts.set(id, attempt);
    return attempt;
  }

  #fail(id: string, failure: Failure | null): void {
    if (failure === null && !this.failures.peek().has(id)) return;
    const failures = new Map(this.failures.peek());
    failures.delete(id);
    if (failure) failures.set(id, failure);
    const oldest = failures.keys().next().value;
    if (failures.size > DECIDED_MAX && oldest !== undefined) failures.delete(oldest);
    this.failures.value = failures;
  }

  #read(id: string): void {
    this.#dirty.add(id);
    void this.#readOn();
  }

  /** One read after the other, so that a busy agent costs one at a time. */
  async #readOn(): Promise<void> {
    if (this.#isReading) return;
    clearTimeout(this.#again);
    const era = this.#era;
    this.#isReading = true;
    try {
      while (era === this.#era && (this.#wholeWanted || this.#dirty.size > 0)) {
        if (this.#wholeWanted || this.#dirty.size > READS_MAX) await this.#readWhole(era);
        else await this.#readOne(era);
      }
      if (era === this.#era) this.trouble.value = null;
    } catch (error) {
      if (era === this.#era) {
        this.trouble.value = messageOf(error);
        this.#again = setTimeout(() => void this.#readOn(), READ_AGAIN_MS);
      }
    } finally {
      this.#isReading = false;
    }
    // Somebody else signed in meanwhile.
    if (era !== this.#era && (this.#wholeWanted || this.#dirty.size > 0)) void this.#readOn();
  }

  async #readWhole(era: number): Promise<void> {
    const asked = [...this.#dirty];
    const waited = this.pending.peek().map(({ id }) => id);
    this.#wholeWanted = false;
    this.#dirty.clear();
    try {
      const { items, more, ahead } = await this.routes.pending();
      if (era !== this.#era) return;
      const waits = new Set(items.map(({ id }) => id));
      // What waited and no longer does was decided.
      for (const id of waited) if (!waits.has(id)) this.#dirty.add(id);
      if (this.older.peek() !== undefined) {
        const { items: newest, next } = await this.routes.page(null);
        if (era !== this.#era) return;
        this.#learn(newest);
        this.older.value = next;
      }
      batch(() => {
        this.ahead.value = ahead;
        this.hasMore.value = more;
        this.#learn(items);
        this.isRead.value = true;
      });
    } catch (error) {
      if (isGone(error)) {
        if (era === this.#era) this.isAllowed.value = false;
        return;
      }
      if (era === this.#era) {
        this.#wholeWanted = true;
        for (const id of asked) this.#dirty.add(id);
      }
      throw error;
    }
  }

  async #readOne(era: number): Promise<void> {
    const [id] = this.#dirty;
    if (id === undefined) return;
    // Before it is asked for: what happens meanwhile has it read again.
    this.#dirty.delete(id);
    try {
      const approval = await this.routes.one(id);
      if (era === this.#era) this.#learn([approval]);
    } catch (error) {
      if (era !== this.#era) return;
      // One that can't be opened stays so; whoever asks too often may ask later.
      if (!(error instanceof Refused) || error.status === 429) {
        this.#dirty.add(id);
        throw error;
      }
      if (!isGone(error)) return;
      if (this.#missing.size < DECIDED_MAX) this.#missing.add(id);
      const known = new Map(this.#known.peek());
      if (known.delete(id)) this.#known.value = known;
    }
  }

  #learn(items: readonly Approval[]): void {
    const known = new Map(this.#known.peek());
    const fresh: Approval[] = [];
    for (const item of items) {
      const before = known.get(item.id);
      if (before && stage(before.status) > stage(item.status)) continue;
      if (!before && item.status === "pending") fresh.push(item);
      known.set(item.id, item);
    }
    const decided = [...known.values()].filter(({ status }) => isFinal(status)).sort(byNewest);
    for (const { id } of decided.slice(DECIDED_MAX)) if (id !== this.shown.peek()) known.delete(id);
    this.#known.value = known;
    if (this.isRead.peek() && fresh.length > 0) this.arrived(fresh.sort(bySoonest));
  }
}

function stage(status: ApprovalStatus): number {
  if (status === "pending") return 0;
  if (status === "approved" || status === "edited") return 1;
  return status === "executing" ? 2 : 3;
}

function bySoonest(a: Approval, b: Approval): number {
  return Date.parse(a.expires_at) - Date.parse(b.expires_at) || (a.id < b.id ? -1 : 1);
}

/** Ids begin with the time. */
function byNewest(a: Approval, b: Approval): number {
  return a.id < b.id ? 1 : -1;
}

function isGone(error: unknown): boolean {
  return error instanceof Refused && (error.status === 404 || error.status === 403);
}
