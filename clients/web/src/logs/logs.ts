/**
 * The logs panel's state: what happened to everything this principal may see.
 *
 * The events stay when the panel is closed, the socket does not: opened again, it goes on after the last number, so that nothing
 * is missing and nothing comes twice, whatever happened to the bridge meanwhile. A reload forgets the events and keeps the number.
 */

import { batch, effect, signal } from "@preact/signals";
import { readStored, writeStored } from "../access/identity";
import type { SessionEvent } from "../api/protocol";
import { messageOf, wasAborted } from "../api/requests";
import type { LogEntry } from "./entry";
import { EventLog, type Change } from "./event_log";
import { loadFilter, saveFilter, THIS, type LogFilter } from "./filter";
import { LogFeed, type FeedState } from "./log_feed";
import { LogView } from "./log_view";
import { readOlder } from "./older";

const PLACE = "baton.logs.seq";
const PLACE_EVERY_MS = 2_000;
/** Read at once when somebody asks for what was before, and first after a reload. */
const OLDER_COUNT = 5_000;

export interface LogsClient {
  openEvents(cursor: number): WebSocket;
}

export class Logs {
  readonly #client: LogsClient;
  /** The session that is open. */
  readonly #open: () => string | null;
  readonly #log = new EventLog();
  readonly #view = new LogView();
  readonly #feed: LogFeed;
  #older = new AbortController();
  #placeAt = 0;
  /** The newest number that the page's feed was told. */
  #heard = 0;
  #stopFollowing: (() => void) | null = null;

  readonly state = signal<FeedState>("closed");
  readonly filter = signal<LogFilter>(loadFilter());
  readonly paused = signal(false);
  /** The end of the list is in sight, and stays there. */
  readonly following = signal(true);
  /** Rows that came since it is not. */
  readonly fresh = signal(0);
  readonly readingOlder = signal(false);
  readonly error = signal<string | null>(null);
  /** The event whose message is shown. */
  readonly expanded = signal<number | null>(null);
  /** Counts the changes of what is shown. */
  readonly version = signal(0);

  constructor(client: LogsClient, open: () => string | null) {
    this.#client = client;
    this.#open = open;
    this.#feed = new LogFeed({
      open: (cursor) => this.#client.openEvents(cursor),
      newest: () => this.#log.newest,
      take: (messages, first) => this.#take(messages, first),
      state: (state) => (this.state.value = state),
    });
  }

  /** The panel is opened. */
  open(): void {
    this.#older = new AbortController();
    this.#stopFollowing = effect(() => {
      const filter = this.filter.value;
      const open = filter.session === THIS ? this.#open() : null;
      saveFilter(filter);
      this.#show(filter, open);
    });
    // Where it was; the first time, where the page is: everything there is may be a lot.
    const place = Number(readStored(PLACE)) || this.#heard;
    const goesOn = this.#log.newest === 0 && Number.isSafeInteger(place) && place > 0;
    if (goesOn) this.#log.startAfter(place);
    this.#feed.open();
    if (goesOn) void this.readOlder();
  }

  close(): void {
    this.#older.abort();
    this.#feed.close();
    this.#stopFollowing?.();
    this.#stopFollowing = null;
    this.#keepPlace(true);
    batch(() => {
      this.paused.value = false;
      this.following.value = true;
      this.fresh.value = 0;
    });
  }

  /** The page's feed was told something. */
  event({ seq }: Partial<SessionEvent>): void {
    if (seq !== undefined) this.#heard = Math.max(this.#heard, seq);
  }

  /** The page's feed was not: the panel's own asks by number, and misses nothing. */
  missed(): void {}

  /** Somebody else may sign in here: nothing of this stays. */
  forget(): void {
    this.close();
    this.#heard = 0;
    this.#log.clear();
    this.#view.show([], this.filter.peek(), null);
    this.expanded.value = null;
    this.version.value += 1;
  }

  /** What is shown; whoever reads it is told of changes. */
  get rows(): readonly LogEntry[] {
    // The rows grow in place.
    void this.version.value;
    return this.#view.rows;
  }

  /** What is held, by number. */
  get seqs(): number[] {
    return this.#log.entries.map(({ seq }) => seq);
  }

  get held(): number {
    return this.#log.entries.length;
  }

  get counts(): LogView["counts"] {
    return this.#view.counts;
  }

  get before(): EventLog["before"] {
    return this.#log.before;
  }

  get canReadOlder(): boolean {
    return this.#log.before === "unknown" && this.#log.hasRoom;
  }

  async readOlder(): Promise<void> {
    if (this.readingOlder.peek() || !this.canReadOlder) return;
    const { signal: ended } = this.#older;
    const last = this.#log.entries[0]?.seq ?? this.#log.newest;
    batch(() => {
      this.readingOlder.value = true;
      this.error.value = null;
    });
    try {
      const { messages, whole } = await readOlder((cursor) => this.#client.openEvents(cursor), last, OLDER_COUNT, ended);
      // Unless another log began meanwhile.
      if ((this.#log.entries[0]?.seq ?? this.#log.newest) >= last) this.#changed(this.#log.prepend(messages, whole));
    } catch (error) {
      if (!wasAborted(error)) this.error.value = messageOf(error);
    } finally {
      batch(() => {
        this.readingOlder.value = false;
        this.version.value += 1;
      });
    }
  }

  pause(paused: boolean): void {
    this.paused.value = paused;
    if (!paused) this.#show(this.filter.peek(), this.#open());
  }

  /** Shown rows, as the messages came, a line each. */
  lines(): string[] {
    return this.#view.rows.map(({ json }) => json);
  }

  #take(messages: readonly string[], first: boolean): void {
    // From the beginning on: there is nothing before.
    if (this.#log.newest === 0 && this.#log.before === "unknown") this.#log.before = "nothing";
    this.#changed(this.#log.append(messages, first));
    this.#keepPlace(false);
  }

  #changed(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    let came = 0;
    for (const change of changes) {
      if (!this.paused.peek()) came += this.#view.follow(change, this.#log.entries);
      else if (change.kind === "appended") came += change.entries.length;
    }
    batch(() => {
      if (!this.following.peek() || this.paused.peek()) this.fresh.value += came;
      this.version.value += 1;
    });
  }

  #show(filter: LogFilter, open: string | null): void {
    this.#view.show(this.#log.entries, filter, open);
    batch(() => {
      this.version.value = this.version.peek() + 1;
      if (this.following.peek()) this.fresh.value = 0;
    });
  }

  /** Where a page that is loaded anew goes on. */
  #keepPlace(now: boolean): void {
    if (this.#log.newest === 0 || (!now && Date.now() - this.#placeAt < PLACE_EVERY_MS)) return;
    this.#placeAt = Date.now();
    writeStored(PLACE, String(this.#log.newest));
  }
}
