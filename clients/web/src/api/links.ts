/** Links that let somebody in: to one session as a watcher, or in the caller's own name. */

import type { components } from "./api.gen";
import type { Requests } from "./requests";

export type Link = components["schemas"]["Link"];
export type ShareFrom = components["schemas"]["ShareFrom"];

export class LinkRoutes {
  constructor(private readonly requests: Requests) {}

  /** Whoever has it watches this session, and nothing else, until it expires or is taken back. */
  share(session: string, from: ShareFrom, ttl_s: number): Promise<Link> {
    return this.requests.json("POST", "/v1/auth/links", { kind: "share", session_id: session, from, ttl_s });
  }

  /** Signs in once, as the caller, within a minute. */
  login(session: string): Promise<Link> {
    return this.requests.json("POST", "/v1/auth/links", { kind: "login", session_id: session });
  }

  async takeBack(id: string): Promise<void> {
    await this.requests.send("DELETE", `/v1/auth/links/${encodeURIComponent(id)}`);
  }
}
