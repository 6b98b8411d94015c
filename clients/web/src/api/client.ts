/**
 * The one way to the bridge. Everything else on the page asks a `BatonClient`;
 * nothing else knows a route, a header or a status code.
 */

import { AuditRoutes } from "./audit";
import { parseCursor } from "../stream/frame";
import { loginKey } from "../access/identity";
import { ApprovalRoutes } from "./approvals";
import { RecordingRoutes } from "./recordings";
import { HandoffRoutes } from "./handoff";
import { LinkRoutes } from "./links";
import { limited, Requests } from "./requests";
import { SessionRows } from "./session_rows";
import {
  BINARY_SUBPROTOCOL,
  type AgentProgram,
  type BatonSettings,
  type Cells,
  type CreateTerminal,
  type Created,
  type DefaultsPatch,
  type EventPage,
  type LeaseAnswer,
  type LoginAnswer,
  type LoginRequest,
  type Principal,
  type SearchAnswer,
  type Session,
  type SessionDetail,
  type SessionEvent,
  type SessionPage,
} from "./protocol";

/** How long the next sessiond may take, and how often it is looked for. */
const RESTART_MS = 20_000;
const RESTART_LOOK_MS = 100;

/** A place in a session's output: a cursor, or a time (RFC 3339). */
export type Moment = { cursor: string } | { at: string };

/** A screen as it was; `bytes` make a terminal show it. */
export interface Snapshot {
  bytes: Uint8Array;
  /** Output bytes before it: at the place asked for, or a little before. */
  offset: number;
  cells: Cells;
  /** When it looked so, milliseconds since 1970; null when the bridge does not say. */
  at: number | null;
}

export interface SearchQuery {
  text: string;
  regex: boolean;
  /** Go on from here. */
  cursor: string | null;
}

export interface BatonClient {
  readonly audit: AuditRoutes;
  readonly recordings: RecordingRoutes;
  /** What the rows of the list need beyond the list. */
  readonly rows: SessionRows;
  readonly handoff: HandoffRoutes;
  readonly links: LinkRoutes;

  login(credential: LoginRequest): Promise<LoginAnswer>;
  logout(): Promise<void>;
  me(): Promise<Principal>;

  sessions(): Promise<Session[]>;
  session(id: string): Promise<SessionDetail>;
  createTerminal(request: CreateTerminal): Promise<Created>;
  rename(id: string, title: string): Promise<void>;
  close(id: string, reason: string): Promise<void>;
  respawn(id: string): Promise<void>;
  forget(id: string): Promise<void>;

  claim(id: string, clientId: string, force: boolean): Promise<LeaseAnswer>;
  release(id: string, clientId: string): Promise<void>;
  transfer(id: string, clientId: string, toClientId: string): Promise<void>;
  requestControl(id: string, clientId: string): Promise<void>;
  denyControl(id: string, clientId: string, toClientId: string): Promise<void>;
  detach(id: string, clientId: string): Promise<void>;

  /** The screen at `moment`, with this many lines above it; now when no moment is named. */
  snapshot(id: string, moment: Moment | null, scrollback: number, signal?: AbortSignal): Promise<Snapshot>;
  /** When the output reached `cursor`, milliseconds since 1970. */
  timeOf(id: string, cursor: string, signal?: AbortSignal): Promise<number | null>;
  search(id: string, query: SearchQuery, signal: AbortSignal): Promise<SearchAnswer>;
  /** The session's recording from `moment` on, as asciicast v3. */
  recording(id: string, moment: Moment | null, signal?: AbortSignal): Promise<Response>;
  /** The newest marks of a session, oldest first. */
  marks(id: string, signal?: AbortSignal): Promise<SessionEvent[]>;

  /** What waits for a person. */
  readonly approvals: ApprovalRoutes;

  /** A session's terminal stream; the caller speaks `hello` on it. */
  openTerminal(id: string, clientId: string): WebSocket;
  /**
   * What happens to every session this principal may see: after the event `cursor`, else from now on, and then also
   * that something was printed, not what.
   */
  openEvents(cursor?: number): WebSocket;

  batonSettings(): Promise<BatonSettings>;
  /** Answers once they hold. */
  changeDefaults(patch: DefaultsPatch): Promise<BatonSettings>;
  /** Tries whether an agent's program runs. */
  agentStatus(name: string): Promise<AgentProgram>;
  reloadEnvironment(): Promise<BatonSettings>;
  /** Resolves once another process serves. */
  restartSessiond(): Promise<void>;
}

const PAGE_LIMIT = 100;
const SEARCH_LIMIT = 50;
const SEARCH_CONTEXT_LINES = 1;
const MARKS_PAGE = 1000;
/** More marks than a slider has places for. */
const MARKS_PAGES_MAX = 5;

export class HttpClient implements BatonClient {
  readonly #requests: Requests;
  readonly approvals: ApprovalRoutes;
  readonly audit: AuditRoutes;
  readonly recordings: RecordingRoutes;
  readonly rows: SessionRows;
  readonly handoff: HandoffRoutes;
  readonly links: LinkRoutes;

  /** `onSignedOut` runs when a request that needs a login is answered 401. */
  constructor(onSignedOut: () => void) {
    this.#requests = new Requests(onSignedOut);
    this.approvals = new ApprovalRoutes(this.#requests);
    this.audit = new AuditRoutes(this.#requests);
    this.recordings = new RecordingRoutes(this.#requests);
    this.rows = new SessionRows(this.#requests, openSocket);
    this.handoff = new HandoffRoutes(this.#requests);
    this.links = new LinkRoutes(this.#requests);
  }

  async login(credential: LoginRequest): Promise<LoginAnswer> {
    const answer = await this.#requests.json<LoginAnswer>("POST", "/v1/auth/login", credential, { login: true });
    loginKey.write(answer.key);
    return answer;
  }

  async logout(): Promise<void> {
    try {
      await this.#requests.send("POST", "/v1/auth/logout");
    } finally {
      loginKey.clear();
    }
  }

  me(): Promise<Principal> {
    return this.#requests.json<Principal>("GET", "/v1/auth/me");
  }

  async sessions(): Promise<Session[]> {
    const all: Session[] = [];
    let cursor: string | null | undefined = null;
    do {
      const query: URLSearchParams = new URLSearchParams({ kind: "terminal", limit: String(PAGE_LIMIT) });
      if (cursor) query.set("cursor", cursor);
      const page: SessionPage = await this.#requests.json<SessionPage>("GET", `/v1/sessions?${query}`);
      all.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor);
    return all;
  }

  session(id: string): Promise<SessionDetail> {
    return this.#requests.json<SessionDetail>("GET", `/v1/sessions/${encodeURIComponent(id)}`);
  }

  createTerminal(request: CreateTerminal): Promise<Created> {
    return this.#requests.json<Created>("POST", "/v1/terminal/sessions", request);
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#requests.send("PATCH", `/v1/sessions/${encodeURIComponent(id)}`, { title });
  }

  async close(id: string, reason: string): Promise<void> {
    await this.#requests.send("POST", terminal(id, "close"), { reason });
  }

  async respawn(id: string): Promise<void> {
    await this.#requests.send("POST", `/v1/sessions/${encodeURIComponent(id)}/respawn`);
  }

  async forget(id: string): Promise<void> {
    await this.#requests.send("DELETE", `/v1/sessions/${encodeURIComponent(id)}`);
  }

  claim(id: string, clientId: string, force: boolean): Promise<LeaseAnswer> {
    return this.#requests.json<LeaseAnswer>("POST", terminal(id, "claim"), { client_id: clientId, force });
  }

  async release(id: string, clientId: string): Promise<void> {
    await this.#requests.send("POST", terminal(id, "release"), { client_id: clientId });
  }

  async transfer(id: string, clientId: string, toClientId: string): Promise<void> {
    await this.#requests.send("POST", terminal(id, "transfer"), { client_id: clientId, to_client_id: toClientId });
  }

  async requestControl(id: string, clientId: string): Promise<void> {
    await this.#requests.send("POST", terminal(id, "request-control"), { client_id: clientId });
  }

  async denyControl(id: string, clientId: string, toClientId: string): Promise<void> {
    await this.#requests.send("POST", terminal(id, "deny-control"), { client_id: clientId, to_client_id: toClientId });
  }

  async detach(id: string, clientId: string): Promise<void> {
    await this.#requests.send("POST", terminal(id, "detach"), { client_id: clientId });
  }

  async snapshot(id: string, moment: Moment | null, scrollback: number, signal?: AbortSignal): Promise<Snapshot> {
    const query = new URLSearchParams({ format: "ansi", ...(moment ?? {}) });
    if (scrollback > 0) query.set("scrollback", String(scrollback));
    const response = await this.#requests.send("GET", `${terminal(id, "snapshot")}?${query}`, undefined, limited(signal));
    const bytes = new Uint8Array(await response.arrayBuffer());
    const number = (name: string): number => Number(response.headers.get(name));
    const offset = parseCursor(response.headers.get("Baton-Cursor") ?? "")?.offset;
    const cells = { cols: number("Baton-Cols"), rows: number("Baton-Rows") };
    if (offset === undefined || !(cells.cols > 0 && cells.rows > 0)) throw new Error("The bridge sent a screen without its place or size.");
    return { bytes, offset, cells, at: timeIn(response) };
  }

  async timeOf(id: string, cursor: string, signal?: AbortSignal): Promise<number | null> {
    const query = new URLSearchParams({ format: "text", cursor });
    const response = await this.#requests.send("GET", `${terminal(id, "snapshot")}?${query}`, undefined, limited(signal));
    await response.body?.cancel();
    return timeIn(response);
  }

  search(id: string, { text, regex, cursor }: SearchQuery, signal: AbortSignal): Promise<SearchAnswer> {
    const query = new URLSearchParams({ q: text, context: String(SEARCH_CONTEXT_LINES), limit: String(SEARCH_LIMIT) });
    if (regex) query.set("regex", "true");
    // A capital is typed on purpose.
    if (text === text.toLowerCase()) query.set("case", "ignore");
    if (cursor) query.set("cursor", cursor);
    return this.#requests.json<SearchAnswer>("GET", `${terminal(id, "search")}?${query}`, undefined, limited(signal));
  }

  recording(id: string, moment: Moment | null, signal?: AbortSignal): Promise<Response> {
    const query = new URLSearchParams({ version: "3" });
    if (moment) query.set("from", "cursor" in moment ? moment.cursor : moment.at);
    // As long as it plays, it is read: only the caller ends it.
    return this.#requests.send("GET", `${terminal(id, "recording.cast")}?${query}`, undefined, { signal: signal ?? new AbortController().signal });
  }

  async marks(id: string, signal?: AbortSignal): Promise<SessionEvent[]> {
    const marks: SessionEvent[] = [];
    let cursor: string | null | undefined = null;
    for (let page = 0; page < MARKS_PAGES_MAX; page++) {
      const query: URLSearchParams = new URLSearchParams({ type: "mark", limit: String(MARKS_PAGE) });
      if (cursor) query.set("cursor", cursor);
      const answer: EventPage = await this.#requests.json<EventPage>("GET", `/v1/sessions/${encodeURIComponent(id)}/events?${query}`, undefined, limited(signal));
      marks.push(...answer.items);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    return marks;
  }

  openTerminal(id: string, clientId: string): WebSocket {
    const path = `/v1/terminal/streams/${encodeURIComponent(id)}`;
    return openSocket(`${path}?client_id=${encodeURIComponent(clientId)}`);
  }

  openEvents(cursor?: number): WebSocket {
    return openSocket(cursor === undefined ? "/v1/events?output=1" : `/v1/events?output=0&cursor=${cursor}`);
  }

  batonSettings(): Promise<BatonSettings> {
    return this.#requests.json("GET", "/v1/settings");
  }

  changeDefaults(patch: DefaultsPatch): Promise<BatonSettings> {
    return this.#requests.json("PATCH", "/v1/settings/defaults", patch);
  }

  agentStatus(name: string): Promise<AgentProgram> {
    return this.#requests.json("GET", `/v1/settings/agents/${encodeURIComponent(name)}/status`, undefined, limited(undefined));
  }

  reloadEnvironment(): Promise<BatonSettings> {
    return this.#requests.json("POST", "/v1/settings/env/reload", {}, limited(undefined));
  }

  async restartSessiond(): Promise<void> {
    const before = await this.#requests.json<{ pid?: number | null }>("POST", "/v1/settings/sessiond/restart", {});
    const patience = performance.now() + RESTART_MS;
    while (performance.now() < patience) {
      const now = await this.#requests.json<{ status: string; pid?: number | null }>("GET", "/v1/settings/sessiond/status");
      if (now.status === "up" && now.pid !== before.pid) return;
      await new Promise((resolve) => setTimeout(resolve, RESTART_LOOK_MS));
    }
    throw new Error("No other sessiond serves yet; `baton status` says more.");
  }
}

function terminal(id: string, verb: string): string {
  return `/v1/terminal/sessions/${encodeURIComponent(id)}/${verb}`;
}

function timeIn(response: Response): number | null {
  const time = Date.parse(response.headers.get("Baton-At") ?? "");
  return Number.isNaN(time) ? null : time;
}

function openSocket(path: string): WebSocket {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  const key = loginKey.read();
  const socket = new WebSocket(url, key ? [BINARY_SUBPROTOCOL, `baton.key.${key}`] : [BINARY_SUBPROTOCOL]);
  socket.binaryType = "arraybuffer";
  return socket;
}
