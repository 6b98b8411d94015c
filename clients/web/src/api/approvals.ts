/** What waits for a person, and the person's word: the routes of `/v1/approvals`. */

import type { components } from "./api.gen";
import type { Requests } from "./requests";

type Schemas = components["schemas"];

export type Approval = Schemas["ApprovalRequest"];
export type BoundTo = Schemas["BoundTo"];
export type ApprovalStatus = Schemas["ApprovalStatus"];
export type RiskLevel = Schemas["RiskLevel"];
export type Decision = Schemas["Decision"];
export type DecisionRequest = Schemas["DecisionRequest"];
type ApprovalPage = Schemas["Page_ApprovalRequest"];

const PENDING_PAGE = 100;
/** An agent may have 64 waiting; nobody reads more than this many. */
const PENDING_PAGES_MAX = 5;
const PAGE = 25;

export interface Pending {
  items: Approval[];
  /** There are more than are read. */
  more: boolean;
  /** How far the bridge's clock is ahead of this device's, in milliseconds. */
  ahead: number;
}

export class ApprovalRoutes {
  constructor(private readonly requests: Requests) {}

  /** All that wait, or as many as anybody reads. */
  async pending(): Promise<Pending> {
    const items: Approval[] = [];
    let ahead = 0;
    let cursor: string | null | undefined = null;
    for (let page = 0; page < PENDING_PAGES_MAX; page++) {
      const query = new URLSearchParams({ status: "pending", limit: String(PENDING_PAGE) });
      if (cursor) query.set("cursor", cursor);
      const response = await this.requests.send("GET", `/v1/approvals?${query}`);
      ahead = aheadIn(response);
      const answer = (await response.json()) as ApprovalPage;
      items.push(...answer.items);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    return { items, more: Boolean(cursor), ahead };
  }

  /** A page of all there were, newest first. */
  async page(cursor: string | null): Promise<{ items: Approval[]; next: string | null }> {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (cursor) query.set("cursor", cursor);
    const { items, next_cursor } = await this.requests.json<ApprovalPage>("GET", `/v1/approvals?${query}`);
    return { items, next: next_cursor ?? null };
  }

  one(id: string): Promise<Approval> {
    return this.requests.json<Approval>("GET", `/v1/approvals/${encodeURIComponent(id)}`);
  }

  /** `key` is one for each attempt: the same again finds what became of the first. */
  decide(id: string, decision: DecisionRequest, key: string): Promise<Approval> {
    return this.requests.json<Approval>("POST", `/v1/approvals/${encodeURIComponent(id)}/decision`, decision, { key });
  }
}

/** A header tells whole seconds: less than two is no difference. */
function aheadIn(response: Response): number {
  const ahead = Date.parse(response.headers.get("Date") ?? "") - Date.now();
  return Math.abs(ahead) > 2_000 ? ahead : 0;
}
