/**
 * The one way to the bridge. Everything else on the page asks a `BatonClient`;
 * nothing else knows a route, a header or a status code.
 */

import { loginKey, uuid } from "./identity";
import {
  BINARY_SUBPROTOCOL,
  type CreateTerminal,
  type Created,
  type LeaseAnswer,
  type LoginAnswer,
  type LoginRequest,
  type Principal,
  type Problem,
  type Session,
  type SessionDetail,
  type SessionPage,
} from "./protocol";

export interface BatonClient {
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

  /** A session's terminal stream; the caller speaks `hello` on it. */
  openTerminal(id: string, clientId: string): WebSocket;
  /** What happens to every session this principal may see, without output. */
  openEvents(): WebSocket;
}

/** The bridge refused; `detail` says what to do. */
export class Refused extends Error {
  override name = "Refused";
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** Nothing answered at the bridge's address. */
export class Unreachable extends Error {
  override name = "Unreachable";
}

const REQUEST_TIMEOUT_MS = 15_000;
const PAGE_LIMIT = 100;

type Method = "GET" | "POST" | "PATCH" | "DELETE";

export class HttpClient implements BatonClient {
  /** `onSignedOut` runs when a request that needs a login is answered 401. */
  constructor(private readonly onSignedOut: () => void) {}

  async login(credential: LoginRequest): Promise<LoginAnswer> {
    const answer = await this.#json<LoginAnswer>("POST", "/v1/auth/login", credential, { login: true });
    loginKey.write(answer.key);
    return answer;
  }

  async logout(): Promise<void> {
    try {
      await this.#send("POST", "/v1/auth/logout");
    } finally {
      loginKey.clear();
    }
  }

  me(): Promise<Principal> {
    return this.#json<Principal>("GET", "/v1/auth/me");
  }

  async sessions(): Promise<Session[]> {
    const all: Session[] = [];
    let cursor: string | null | undefined = null;
    do {
      const query: URLSearchParams = new URLSearchParams({ kind: "terminal", limit: String(PAGE_LIMIT) });
      if (cursor) query.set("cursor", cursor);
      const page: SessionPage = await this.#json<SessionPage>("GET", `/v1/sessions?${query}`);
      all.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor);
    return all;
  }

  session(id: string): Promise<SessionDetail> {
    return this.#json<SessionDetail>("GET", `/v1/sessions/${encodeURIComponent(id)}`);
  }

  createTerminal(request: CreateTerminal): Promise<Created> {
    return this.#json<Created>("POST", "/v1/terminal/sessions", request);
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#send("PATCH", `/v1/sessions/${encodeURIComponent(id)}`, { title });
  }

  async close(id: string, reason: string): Promise<void> {
    await this.#send("POST", terminal(id, "close"), { reason });
  }

  async respawn(id: string): Promise<void> {
    await this.#send("POST", `/v1/sessions/${encodeURIComponent(id)}/respawn`);
  }

  async forget(id: string): Promise<void> {
    await this.#send("DELETE", `/v1/sessions/${encodeURIComponent(id)}`);
  }

  claim(id: string, clientId: string, force: boolean): Promise<LeaseAnswer> {
    return this.#json<LeaseAnswer>("POST", terminal(id, "claim"), { client_id: clientId, force });
  }

  async release(id: string, clientId: string): Promise<void> {
    await this.#send("POST", terminal(id, "release"), { client_id: clientId });
  }

  async transfer(id: string, clientId: string, toClientId: string): Promise<void> {
    await this.#send("POST", terminal(id, "transfer"), { client_id: clientId, to_client_id: toClientId });
  }

  async requestControl(id: string, clientId: string): Promise<void> {
    await this.#send("POST", terminal(id, "request-control"), { client_id: clientId });
  }

  async denyControl(id: string, clientId: string, toClientId: string): Promise<void> {
    await this.#send("POST", terminal(id, "deny-control"), { client_id: clientId, to_client_id: toClientId });
  }

  async detach(id: string, clientId: string): Promise<void> {
    await this.#send("POST", terminal(id, "detach"), { client_id: clientId });
  }

  openTerminal(id: string, clientId: string): WebSocket {
    const path = `/v1/terminal/streams/${encodeURIComponent(id)}`;
    return openSocket(`${path}?client_id=${encodeURIComponent(clientId)}`);
  }

  openEvents(): WebSocket {
    return openSocket("/v1/events?output=0");
  }

  async #json<T>(method: Method, path: string, body?: object, options?: { login: boolean }): Promise<T> {
    const response = await this.#send(method, path, body, options);
    // The bridge's OpenAPI is the source of T; nothing is checked twice here.
    return (await response.json()) as T;
  }

  async #send(method: Method, path: string, body?: object, options = { login: false }): Promise<Response> {
    const headers = new Headers({ Accept: "application/json" });
    const key = loginKey.read();
    if (key && !options.login) headers.set("X-Baton-Key", key);
    if (body) headers.set("Content-Type", "application/json");
    if (method === "POST" && !options.login) headers.set("Idempotency-Key", uuid());
    const init: RequestInit = { method, headers, cache: "no-store", signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) };
    if (body) init.body = JSON.stringify(body);

    let response: Response;
    try {
      response = await fetch(path, init);
    } catch (cause) {
      throw new Unreachable("The bridge does not answer. Start it with `baton up`, then try again.", { cause });
    }
    if (response.ok) return response;
    if (response.status === 401 && !options.login) this.onSignedOut();
    throw await refusalOf(response);
  }
}

function terminal(id: string, verb: string): string {
  return `/v1/terminal/sessions/${encodeURIComponent(id)}/${verb}`;
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

async function refusalOf(response: Response): Promise<Refused> {
  const problem = await response.json().catch(() => null) as Partial<Problem> | null;
  const wait = response.headers.get("Retry-After");
  const detail = problem?.detail || problem?.title || `The bridge answered ${response.status}.`;
  const text = response.status === 429 && wait ? `${detail} Try again in ${wait} s.` : detail;
  return new Refused(response.status, problem?.code ?? "unknown", text);
}

/** Whatever went wrong, as a sentence for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
