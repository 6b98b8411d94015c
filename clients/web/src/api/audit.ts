/** The audit log's routes. */

import type { AuditPage, AuditVerification } from "./protocol";
import { limited, type Requests } from "./requests";

/** Of which rows; what is null is not asked for. */
export interface AuditQuery {
  action: string | null;
  actor: string | null;
  session: string | null;
  order: "oldest" | "newest";
  /** Rows behind this one, in this order. */
  cursor: number | null;
  limit: number;
}

export class AuditRoutes {
  constructor(private readonly requests: Requests) {}

  page({ action, actor, session, order, cursor, limit }: AuditQuery, signal: AbortSignal): Promise<AuditPage> {
    const query = new URLSearchParams({ order, limit: String(limit) });
    if (action) query.set("action", action);
    if (actor) query.set("actor", actor);
    if (session) query.set("session_id", session);
    if (cursor !== null) query.set("cursor", String(cursor));
    return this.requests.json("GET", `/v1/audit?${query}`, undefined, limited(signal));
  }

  /**
   * Has the whole chain checked, and that `expect`, a head of before, is in it. Only the caller ends it, since a long log takes
   * its time.
   */
  verify(expect: string | null, signal: AbortSignal): Promise<AuditVerification> {
    const query = expect === null ? "" : `?${new URLSearchParams({ expect })}`;
    return this.requests.json("GET", `/v1/audit/verify${query}`, undefined, { signal });
  }
}
