/**
 * Requests to the bridge: who asks, how long to wait, and what went wrong in words.
 */

import { loginKey, uuid } from "../access/identity";
import type { Problem } from "./protocol";

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
/** A search reads everything kept, and a snapshot with history is large. */
const READ_TIMEOUT_MS = 60_000;

type Method = "GET" | "POST" | "PATCH" | "DELETE";

interface SendOptions {
  login?: boolean;
  /** Ends the request early; it has no time limit of its own then. */
  signal?: AbortSignal | undefined;
  /** The `Idempotency-Key`, where the caller may ask the same again; else each request has its own. */
  key?: string;
}

export class Requests {
  /** `onSignedOut` runs when a request that needs a login is answered 401. */
  constructor(private readonly onSignedOut: () => void) {}

  async json<T>(method: Method, path: string, body?: object, options?: SendOptions): Promise<T> {
    const response = await this.send(method, path, body, options);
    // The bridge's OpenAPI is the source of T; nothing is checked twice here.
    return (await response.json()) as T;
  }

  async send(method: Method, path: string, body?: object, { login = false, signal, key: repeatKey }: SendOptions = {}): Promise<Response> {
    const headers = new Headers({ Accept: "application/json, */*" });
    const key = loginKey.read();
    if (key && !login) headers.set("X-Baton-Key", key);
    if (body) headers.set("Content-Type", "application/json");
    if (method === "POST" && !login) headers.set("Idempotency-Key", repeatKey ?? uuid());
    const init: RequestInit = { method, headers, cache: "no-store", signal: signal ?? AbortSignal.timeout(REQUEST_TIMEOUT_MS) };
    if (body) init.body = JSON.stringify(body);

    let response: Response;
    try {
      response = await fetch(path, init);
    } catch (cause) {
      if (wasAborted(cause)) throw cause;
      throw new Unreachable("The bridge does not answer. Start it with `baton up`, then try again.", { cause });
    }
    if (response.ok) return response;
    if (response.status === 401 && !login) this.onSignedOut();
    throw await refusalOf(response);
  }
}

export function limited(signal: AbortSignal | undefined): SendOptions {
  const limit = AbortSignal.timeout(READ_TIMEOUT_MS);
  return { signal: signal ? AbortSignal.any([signal, limit]) : limit };
}

/** Whether a request failed because the page itself ended it. */
export function wasAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
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
