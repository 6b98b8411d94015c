/** What the page asks the bridge about who had control, and about what an agent may type. */

import type { components } from "./api.gen";
import type { EventPage, SessionEvent } from "./protocol";
import { limited, type Requests } from "./requests";

export type Approval = components["schemas"]["ApprovalRequest"];
type ApprovalPage = components["schemas"]["Page_ApprovalRequest"];

const EVENTS_PAGE = 1000;
/** A lease that changed hands more often than this has no beginning to show. */
const EVENT_PAGES_MAX = 5;
const WAITING_MAX = 100;

export class HandoffRoutes {
  constructor(private readonly requests: Requests) {}

  /** When control went to whoever has it under `epoch`, milliseconds since 1970; null when it is no longer known. */
  async heldSince(session: string, epoch: number): Promise<number | null> {
    let cursor: string | null | undefined = null;
    for (let page = 0; page < EVENT_PAGES_MAX; page++) {
      const query: URLSearchParams = new URLSearchParams({ type: "lease", limit: String(EVENTS_PAGE) });
      if (cursor) query.set("cursor", cursor);
      const answer: EventPage = await this.requests.json("GET", `/v1/sessions/${encodeURIComponent(session)}/events?${query}`, undefined, limited(undefined));
      const began = answer.items.find((event) => epochOf(event) === epoch);
      if (began) return Date.parse(began.at);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    return null;
  }

  /** Whether what an agent types into this session waits for a person. */
  async holdAgentInput(session: string, held: boolean): Promise<void> {
    await this.requests.send("PATCH", `/v1/sessions/${encodeURIComponent(session)}`, { agent_input: held ? "held" : "direct" });
  }

  /** What agents want to type or run in this session and may not yet, oldest first. */
  async waitingInput(session: string): Promise<Approval[]> {
    const query = new URLSearchParams({ status: "pending", limit: String(WAITING_MAX) });
    const { items } = await this.requests.json<ApprovalPage>("GET", `/v1/approvals?${query}`);
    const typing = items.filter(({ session_id, action }) => session_id === session && (action === "terminal.input" || action === "terminal.exec"));
    return typing.sort((a, b) => Date.parse(a.created_at) - Date.parse(b.created_at));
  }

  /** Decides about what `approval` showed, and nothing else. */
  async decide({ id, context_hash }: Pick<Approval, "id" | "context_hash">, decision: "approve" | "deny"): Promise<void> {
    await this.requests.send("POST", `/v1/approvals/${encodeURIComponent(id)}/decision`, { decision, context_hash });
  }
}

function epochOf({ data }: SessionEvent): number | null {
  return typeof data === "object" && data !== null && "epoch" in data && typeof data.epoch === "number" ? data.epoch : null;
}
