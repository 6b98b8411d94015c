/** What a row of the list asks the bridge beyond the list itself. */

import type { Requests } from "./requests";
import type { components } from "./api.gen";
import type { SessionEvent } from "./protocol";
import type { ScreenAnswer } from "../sessions/picture";

type ApprovalPage = components["schemas"]["Page_ApprovalRequest"];
export type Grant = components["schemas"]["FolderGrant"];

/** More than anybody reads; the panel of approvals has the rest. */
const PENDING_MAX = 500;

export class SessionRows {
  constructor(
    private readonly requests: Requests,
    private readonly openSocket: (path: string) => WebSocket,
  ) {}

  /** The screen as it is, cell by cell. */
  screen(id: string): Promise<ScreenAnswer> {
    return this.requests.json("GET", `/v1/terminal/sessions/${encodeURIComponent(id)}/snapshot?format=json`);
  }

  /** These are its labels from now on, all of them. */
  async setLabels(id: string, labels: Readonly<Record<string, string>>): Promise<void> {
    await this.requests.send("PATCH", `/v1/sessions/${encodeURIComponent(id)}`, { labels });
  }

  /** The session of each approval that waits for a person; null where it is about none. */
  async pendingApprovals(): Promise<(string | null)[]> {
    const { items } = await this.requests.json<ApprovalPage>("GET", `/v1/approvals?status=pending&limit=${PENDING_MAX}`);
    return items.map(({ session_id }) => session_id ?? null);
  }

  /** Each event after this one, as far as they are kept; `end` ends it. */
  eventsAfter(seq: number, hear: (event: Partial<SessionEvent>) => void): { end(): void } {
    const socket = this.openSocket(`/v1/events?cursor=${seq}&output=0`);
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") hear(JSON.parse(data) as Partial<SessionEvent>);
    };
    return { end: () => socket.close() };
  }
}
