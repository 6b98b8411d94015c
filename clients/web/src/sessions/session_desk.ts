/**
 * What the list knows and does beyond its rows: small pictures, marks of what
 * happened, the questions about one session, and the browser's notifications.
 */

import { computed, effect, signal } from "@preact/signals";
import type { Inbox } from "../approvals/inbox";
import type { SessionRows } from "../api/session_rows";
import type { Session, SessionDetail, SessionEvent } from "../api/protocol";
import { Attention } from "../notify/attention";
import { badgeIcon } from "../notify/badge";
import { Notifier, showNotification } from "../notify/notifier";
import { loadPreferences, savePreferences } from "../notify/preferences";
import type { EventFollower } from "../state";
import { Refused } from "../api/requests";
import { sessionName } from "../ui/words";
import { Pictures } from "./pictures";
import { asksForPassword, isLiving } from "./order";
import { RowReader } from "./row_reader";

const FILL_AT_ONCE = 3;

/** What is asked about one session, or about a new one. */
export type SessionQuestion =
  | { ask: "new" }
  | { ask: "rename" | "labels" | "close" | "forget" | "take"; id: string };

/** The store, as far as the list needs it. */
interface Desk {
  readonly sessions: { readonly value: readonly Session[] | null; peek(): readonly Session[] | null };
  readonly details: { readonly value: ReadonlyMap<string, SessionDetail>; peek(): ReadonlyMap<string, SessionDetail> };
  readonly selected: { readonly value: string | null };
  readonly signIn: { readonly value: { state: string } };
  readonly client: { readonly rows: SessionRows };
  readonly inbox: Pick<Inbox, "waitingIn">;
  select(id: string): void;
  readRow(id: string): Promise<void>;
  follow(follower: EventFollower): () => void;
}

export class SessionDesk {
  readonly preferences = signal(loadPreferences());
  readonly question = signal<SessionQuestion | null>(null);
  /** Whether what this browser tells of is being chosen. */
  readonly settingsShown = signal(false);
  readonly pictures = new Pictures();
  /** The rows that are on the screen. */
  readonly onScreen = signal<ReadonlySet<string>>(new Set());
  /** The row the arrows went to last, and the one that Tab goes to. */
  readonly rowFocus = signal<string | null>(null);
  readonly tabRow = signal<string | null>(null);
  readonly attention: Attention;
  readonly reader: RowReader;
  /** Whether anybody sees the page. */
  readonly #seen = signal(!document.hidden);
  /** Whose screen is not for us, or cannot be drawn. */
  readonly #noPicture = new Set<string>();
  /** Sessions that went on while nobody saw their row. */
  readonly #stale = new Set<string>();
  #filling = false;

  /** The sessions that want somebody: by a mark, an approval, or a question for a password that nobody sees. */
  readonly needing = computed<ReadonlySet<string>>(() => {
    const ids = new Set(this.attention.wanted.value);
    const seen = this.#seen.value ? this.desk.selected.value : null;
    for (const [id, detail] of this.desk.details.value) if (id !== seen && asksForPassword(detail)) ids.add(id);
    return ids;
  });

  constructor(private readonly desk: Desk) {
    const notifier = new Notifier({
      preferences: () => this.preferences.peek(),
      nameOf: (id) => this.#nameOf(id),
      isSeen: (id, seq) => this.attention.isSeen(id, seq),
      open: (id) => desk.select(id),
      show: showNotification,
    });
    this.attention = new Attention({
      rows: { eventsAfter: (seq, hear) => desk.client.rows.eventsAfter(seq, hear) },
      waiting: desk.inbox.waitingIn,
      long_ms: () => this.preferences.peek().long_s * 1000,
      raised: (id, mark) => notifier.raised(id, mark),
    });
    this.reader = new RowReader({ read: (id) => this.#read(id) });
  }

  start(): void {
    document.addEventListener("visibilitychange", () => (this.#seen.value = !document.hidden));
    this.attention.follow();
    this.desk.follow({
      event: (event) => this.#event(event),
      missed: () => {
        this.reader.touchedAll();
        this.attention.missed();
      },
    });
    effect(() => savePreferences(this.preferences.value));
    effect(() => this.reader.sleep(!this.#seen.value));
    effect(() => this.attention.look(this.#seen.value && this.desk.signIn.value.state === "in" ? this.desk.selected.value : null));
    effect(() => badgeIcon(this.needing.value.size));
    effect(() => this.#keepOnly(this.desk.sessions.value));
    effect(() => {
      if (this.desk.signIn.value.state === "out") this.#signedOut();
    });
  }

  /** Something was printed in it. */
  output(id: string): void {
    this.reader.touched(id);
    if (!this.onScreen.peek().has(id)) this.#stale.add(id);
  }

  /** Somebody looks for a session: what is not known of the living ones, or no longer, is read once. */
  async fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    const details = this.desk.details.peek();
    const wanted = (this.desk.sessions.peek() ?? []).filter((session) => isLiving(session) && (this.#stale.has(session.id) || !details.has(session.id))).map(({ id }) => id);
    const worker = async (): Promise<void> => {
      for (let id = wanted.shift(); id !== undefined; id = wanted.shift()) {
        this.#stale.delete(id);
        await this.desk.readRow(id);
      }
    };
    await Promise.all(Array.from({ length: FILL_AT_ONCE }, worker));
    this.#filling = false;
  }

  #event(event: Partial<SessionEvent>): void {
    // A new life may have another screen, and another right to see it.
    if (event.scope === "session" && event.scope_id && (event.type === "status" || event.type === "exit")) {
      this.#noPicture.delete(event.scope_id);
      this.reader.touched(event.scope_id);
    }
    this.attention.event(event);
  }

  async #read(id: string): Promise<void> {
    this.#stale.delete(id);
    const row = this.desk.readRow(id);
    if (this.preferences.peek().pictures && !this.#noPicture.has(id)) await this.#readPicture(id);
    await row;
  }

  async #readPicture(id: string): Promise<void> {
    try {
      this.pictures.put(id, await this.desk.client.rows.screen(id));
    } catch (error) {
      // Asked again when it starts anew: the answer would be the same until then.
      if (error instanceof Refused && error.status !== 429 && error.status < 500) this.#noPicture.add(id);
    }
  }

  #keepOnly(sessions: readonly Session[] | null): void {
    if (sessions === null) return;
    const ids = new Set(sessions.map(({ id }) => id));
    this.attention.keep(ids);
    this.reader.keep(ids);
    for (const set of [this.#noPicture, this.#stale]) for (const id of set) if (!ids.has(id)) set.delete(id);
  }

  #signedOut(): void {
    this.question.value = null;
    this.reader.clear();
    this.pictures.clear();
    this.attention.stop();
    this.#noPicture.clear();
    this.#stale.clear();
  }

  #nameOf(id: string): string | null {
    const session = this.desk.sessions.peek()?.find((known) => known.id === id);
    return session ? sessionName(session) : null;
  }
}
