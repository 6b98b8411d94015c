/**
 * What the page knows, as signals, and the few things it can be asked to do.
 *
 * One store a page. Components read signals and call methods; they never speak
 * to the bridge themselves.
 */

import { computed, effect, signal } from "@preact/signals";
import { Attachment } from "./terminal/attachment";
import { Alerts } from "./approvals/alerts";
import { browserAlerts, prepareSoundOnce } from "./approvals/browser_alerts";
import { Inbox } from "./approvals/inbox";
import { Audit } from "./audit/audit";
import { rememberSession, signInUnasked, signInWithCode, signInWithShare, signInWithToken, takeFragment, type SignIn } from "./access/auth";
import { HttpClient } from "./api/client";
import { messageOf, Refused } from "./api/requests";
import { badgedTitle } from "./notify/badge";
import { PaletteState } from "./palette/palette_state";
import { SessionDesk } from "./sessions/session_desk";
import type { Connection } from "./stream/connection";
import { fileNameOf, saveFile } from "./ui/download";
import { EventFeed, type FeedListener } from "./api/feed";
import type { Fragment } from "./access/fragment";
import { clientId, freshClientId, newInputStream } from "./access/identity";
import { HeldInput } from "./lease/held_input";
import { Latest } from "./history/latest";
import { Logs } from "./logs/logs";
import type { BatonSettings, CreateTerminal, Principal, Session, SessionDetail } from "./api/protocol";
import { loadSettings, saveSettings, type Settings, type Shade } from "./settings/settings";
import { colourFrame } from "./phone/installed";
import { ShareState } from "./share/share_state";
import type { Tone } from "./ui/tone";
import { sessionName } from "./ui/words";

export interface Notice {
  id: number;
  text: string;
  tone: Tone;
}

/** The panels beside the terminal, by name. */
export type PanelName = "approvals" | "logs" | "audit";

/** Whoever follows the events of the page's one feed. */
export type EventFollower = Pick<FeedListener, "event" | "missed">;

const NOTICES_MAX = 3;
const NOTICE_MS = 12_000;
/** A busy session changes often; its row is read at most this often. */
const ROW_READ_MS = 1_000;
/** Rows that nobody sees are read together, with the list. */
const LIST_READ_MS = 2_000;
const RETRY_SIGN_IN_MS = 3_000;

export class Store {
  readonly signIn = signal<SignIn | { state: "starting" }>({ state: "starting" });
  readonly sessions = signal<readonly Session[] | null>(null);
  readonly details = signal<ReadonlyMap<string, SessionDetail>>(new Map());
  readonly selected = signal<string | null>(null);
  readonly attachment = signal<Attachment | null>(null);
  readonly notices = signal<readonly Notice[]>([]);
  readonly settings = signal<Settings>(loadSettings());
  /** Counts the changes of Baton's own settings; 0 before the bridge tells of them. */
  readonly settingsVersion = signal(0);
  /** Whether Baton's settings have this page show how the stream is. */
  readonly debugOverlay = signal(false);
  readonly drawerOpen = signal(false);
  /** What stands beside the terminal. */
  readonly panel = signal<PanelName | null>(null);
  readonly #systemShade = signal<Shade>("dark");
  readonly #feedConnection = signal<Connection>({ state: "connecting" });

  readonly shade = computed<Shade>(() => {
    const { theme } = this.settings.value;
    return theme === "system" ? this.#systemShade.value : theme;
  });

  readonly current = computed(() => this.sessions.value?.find(({ id }) => id === this.selected.value) ?? null);

  /** Whether this principal may do more than watch. */
  readonly mayChange = computed(() => this.signIn.value.state === "in" && this.signIn.value.principal.role !== "viewer");

  /** The selected session's connection, else the list's. Never better than it is. */
  readonly connection = computed<Connection>(() => {
    const { state } = this.signIn.value;
    if (state === "out") return { state: "signed_out" };
    if (state === "unreachable") return { state: "offline", attempt: 0, retry_at: null, reason: "Bridge not reachable" };
    if (state === "starting") return { state: "connecting" };
    return this.attachment.value?.connection.value ?? this.#feedConnection.value;
  });

  readonly client = new HttpClient(() => this.signedOut(this.#whySignedOut));
  readonly audit = new Audit(this.client.audit);
  readonly logs = new Logs(this.client, () => this.selected.value);
  readonly #feed = new EventFeed(this.client, {
    changed: (id, type) => this.#changed(id, type),
    output: (id) => this.desk.output(id),
    forgotten: (id) => this.#rowGone(id),
    refresh: () => this.#refresh(),
    connection: (connection) => (this.#feedConnection.value = connection),
    settings: () => (this.settingsVersion.value += 1),
    event: (event) => this.#followers.forEach((follower) => follower.event(event)),
    missed: () => this.#followers.forEach((follower) => follower.missed()),
  });
  readonly share = new ShareState();
  readonly heldInput = new HeldInput(this.client.handoff);
  readonly #followers = new Set<EventFollower>();
  readonly alerts = new Alerts(browserAlerts, (id) => this.review(id));
  readonly inbox = new Inbox(this.client.approvals, (asked) => this.alerts.arrived(asked));
  /** Pictures, marks and notifications of the list. */
  readonly desk = new SessionDesk(this);
  readonly palette = new PaletteState();
  /** What wants somebody: each approval, and each session for another reason. */
  readonly #wanting = computed(() => {
    const { pending, waitingIn } = this.inbox;
    return pending.value.length + [...this.desk.needing.value].filter((id) => !waitingIn.value.has(id)).length;
  });
  readonly #settingsRead = new Latest(0);
  readonly #rowTimers = new Map<string, ReturnType<typeof setTimeout>>();
  /** When each forgotten session was said to be: what was asked before that may still name it. */
  readonly #goneAt = new Map<string, number>();
  #listTimer: ReturnType<typeof setTimeout> | undefined;
  #opening: Promise<void> = Promise.resolve();
  #noticeId = 0;

  /** Tells `follower` of each event until it is taken back. */
  follow(follower: EventFollower): () => void {
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }

  async start(): Promise<void> {
    this.#followSystemShade();
    this.follow(this.logs);
    effect(() => saveSettings(this.settings.value));
    effect(() => this.#followBatonSettings(this.signIn.value, this.settingsVersion.value));
    effect(() => this.attachment.value?.configure(this.settings.value, this.shade.value));
    effect(() => void (document.documentElement.dataset["shade"] = this.shade.value));
    effect(() => void (document.title = badgedTitle(this.current.value ? `${this.current.value.title || "Session"} · Baton` : "Baton", this.#wanting.value)));
    this.follow(this.inbox);
    if (this.alerts.settings.peek().sound) prepareSoundOnce();
    this.desk.start();
    effect(() => colourFrame(this.shade.value));
    window.addEventListener("hashchange", () => void this.#open(takeFragment()));
    await this.#open(takeFragment());
  }

  async signInWithToken(token: string): Promise<void> {
    this.#signedIn(await signInWithToken(this.client, token), this.selected.value);
  }

  async signOut(): Promise<void> {
    this.#leave();
    await this.client.logout().catch(() => undefined);
    this.signedOut(null);
  }

  /** A guest has nothing to sign in with: only another link helps. */
  get #whySignedOut(): string {
    const { value } = this.signIn;
    const guest = value.state === "in" && value.principal.id.startsWith("lnk_");
    return guest ? "This share link has expired or was taken back. Ask for a new one." : "You were signed out. Sign in again to go on.";
  }

  signedOut(message: string | null): void {
    if (this.signIn.value.state === "out") return;
    this.#feed.stop();
    this.logs.forget();
    this.audit.forget();
    this.#leave();
    this.sessions.value = null;
    this.details.value = new Map();
    this.inbox.clear();
    this.signIn.value = { state: "out", message };
  }

  select(id: string | null): void {
    this.drawerOpen.value = false;
    if (id === this.selected.value && this.attachment.value) return;
    this.#leave();
    this.selected.value = id;
    rememberSession(id);
    const { value } = this.signIn;
    if (id && value.state === "in") this.#attach(id, clientId(value.principal.id), value.principal);
  }

  /** After another tab took our place: go on as a client of our own. */
  continueAsNewClient(): void {
    const { value } = this.signIn;
    const id = this.selected.value;
    if (!id || value.state !== "in") return;
    this.#leave();
    this.#attach(id, freshClientId(), value.principal);
  }

  retryNow(): void {
    if (this.signIn.value.state === "unreachable") void this.#open({ code: null, share: null, session: this.selected.value });
    this.attachment.value?.retryNow();
    this.#feed.retryNow();
  }

  async create(request: CreateTerminal): Promise<string | null> {
    const room = this.attachment.value?.screen.room;
    try {
      const created = await this.client.createTerminal({ ...(room ?? {}), ...request });
      await this.#refresh();
      this.select(created.session_id);
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Runs something the user asked for; whatever goes wrong is told. */
  async run(action: () => Promise<unknown>): Promise<boolean> {
    try {
      await action();
      void this.#refresh();
      return true;
    } catch (error) {
      this.notify(messageOf(error), "error");
      return false;
    }
  }

  /** Saves the session's recording as a file. */
  async download(id: string): Promise<void> {
    await this.run(async () => {
      const recording = await this.client.recording(id, null);
      const session = this.sessions.peek()?.find((known) => known.id === id);
      saveFile(await recording.blob(), `${fileNameOf(session ? sessionName(session) : id)}.cast`);
    });
  }

  async startAgain(id: string): Promise<void> {
    if (await this.run(() => this.client.respawn(id)) && id === this.selected.value) this.#reattach();
  }

  async forget(id: string): Promise<void> {
    if (await this.run(() => this.client.forget(id)) && id === this.selected.value) this.select(null);
  }

  notify(text: string, tone: Tone): void {
    const sentence = text.charAt(0).toUpperCase() + text.slice(1);
    const others = this.notices.value.filter((notice) => notice.text !== sentence);
    const notice = { id: ++this.#noticeId, text: sentence, tone };
    this.notices.value = [...others, notice].slice(-NOTICES_MAX);
    setTimeout(() => this.dismiss(notice.id), NOTICE_MS);
  }

  /** Shows a request for approval. */
  review(id: string): void {
    this.inbox.want(id);
    this.inbox.shown.value = id;
    this.panel.value = "approvals";
  }

  dismiss(id: number): void {
    this.notices.value = this.notices.value.filter((notice) => notice.id !== id);
  }

  /** Addresses are followed one after the other, so that the last one wins. */
  #open(fragment: Fragment): Promise<void> {
    this.#opening = this.#opening.then(() => this.#follow(fragment));
    return this.#opening;
  }

  async #follow({ code, share, session }: Fragment): Promise<void> {
    const target = session ?? this.selected.value;
    if (!code && this.signIn.value.state === "in") return target ? this.select(target) : undefined;
    if (code) return this.#signedIn(await signInWithCode(this.client, code), target);
    this.#signedIn(share ? await signInWithShare(this.client, share) : await signInUnasked(this.client), target);
  }

  #signedIn(result: SignIn, session: string | null): void {
    const wasIn = this.signIn.value.state === "in";
    this.signIn.value = result;
    if (result.state === "in") {
      if (!wasIn) this.#feed.start();
      if (session) this.select(session);
    } else {
      this.selected.value = session;
      if (result.state === "unreachable") setTimeout(() => this.#tryAgain(), RETRY_SIGN_IN_MS);
    }
  }

  #tryAgain(): void {
    if (this.signIn.value.state === "unreachable") void this.#open({ code: null, share: null, session: this.selected.value });
  }

  #attach(sessionId: string, asClient: string, principal: Principal): void {
    this.attachment.value = new Attachment({
      client: this.client,
      sessionId,
      clientId: asClient,
      // Numbers start at 1 in each attachment, so each needs a stream of its own.
      inputStream: newInputStream(),
      principal,
      settings: this.settings.value,
      shade: this.shade.value,
      notify: (text, tone) => this.notify(text, tone),
      signedOut: () => this.signedOut(this.#whySignedOut),
    });
  }

  #reattach(): void {
    const id = this.selected.value;
    this.#leave();
    this.select(id);
  }

  #leave(): void {
    this.attachment.value?.dispose();
    this.attachment.value = null;
  }

  async #refresh(): Promise<boolean> {
    const asked = performance.now();
    try {
      const sessions = await this.client.sessions();
      if (this.signIn.value.state !== "in") return true;
      this.sessions.value = sessions.filter(({ id }) => !this.#goneSince(id, asked));
      this.#followRespawn();
      return true;
    } catch (error) {
      return error instanceof Refused;
    }
  }

  /** A row that somebody sees is read at once; for the others the list is enough, however much happens in them. */
  #changed(id: string, type: string | undefined): void {
    const selected = id === this.selected.value;
    if (type === "mark" && !selected) this.desk.output(id);
    else if (selected || this.desk.onScreen.value.has(id) || !this.sessions.value?.some((session) => session.id === id)) this.#rowChanged(id);
    else {
      this.desk.output(id);
      this.#listTimer ??= setTimeout(() => {
        this.#listTimer = undefined;
        if (this.signIn.value.state === "in") void this.#refresh();
      }, LIST_READ_MS);
    }
  }

  #rowChanged(id: string): void {
    if (this.#rowTimers.has(id)) return;
    void this.readRow(id);
    this.#rowTimers.set(id, setTimeout(() => {
      this.#rowTimers.delete(id);
      void this.readRow(id);
    }, ROW_READ_MS));
  }

  #rowGone(id: string): void {
    clearTimeout(this.#rowTimers.get(id));
    this.#rowTimers.delete(id);
    this.#goneAt.set(id, performance.now());
    this.#removeRow(id);
  }

  #goneSince(id: string, asked: number): boolean {
    return asked <= (this.#goneAt.get(id) ?? -Infinity);
  }

  #removeRow(id: string): void {
    const known = this.sessions.value;
    if (known?.some((session) => session.id === id)) this.sessions.value = known.filter((session) => session.id !== id);
    const details = new Map(this.details.value);
    if (details.delete(id)) this.details.value = details;
  }

  /** Reads a session's row and details now. */
  async readRow(id: string): Promise<void> {
    const asked = performance.now();
    try {
      const detail = await this.client.session(id);
      if (this.#goneSince(id, asked)) return;
      this.details.value = new Map(this.details.value).set(id, detail);
      if (detail.kind !== "terminal") return;
      const known = this.sessions.value ?? [];
      this.sessions.value = known.some((session) => session.id === id)
        ? known.map((session) => (session.id === id ? detail : session))
        : [...known, detail];
      this.#followRespawn();
    } catch (error) {
      if (error instanceof Refused && error.status === 404) this.#removeRow(id);
    }
  }

  /** The session we watched ended and was started again by somebody: watch on. */
  #followRespawn(): void {
    const session = this.current.value;
    const attachment = this.attachment.value;
    if (session?.status !== "running" || attachment?.connection.value.state !== "ended") return;
    const ended = attachment.cursor;
    if (ended && !ended.startsWith(`${session.instance}:`)) this.#reattach();
  }

  /** Only who may change the settings may read them. */
  #followBatonSettings(signIn: Store["signIn"]["value"], version: number): void {
    this.#settingsRead.cancel();
    if (signIn.state !== "in" || signIn.principal.role !== "owner") {
      this.debugOverlay.value = false;
    } else if (version > 0) {
      const done = ({ defaults }: BatonSettings): void => void (this.debugOverlay.value = defaults.terminal_debug_overlay);
      // Read again with the next connection of the feed.
      this.#settingsRead.want(() => this.client.batonSettings(), done, () => undefined, true);
    }
  }

  #followSystemShade(): void {
    const query = matchMedia("(prefers-color-scheme: light)");
    const follow = (): void => void (this.#systemShade.value = query.matches ? "light" : "dark");
    query.addEventListener("change", follow);
    follow();
  }
}

export const store = new Store();
