/** What a row of the list asks the bridge beyond the list itself. */

import type { Requests } from "./requests";
import type { components } from "./api.gen";
import type { SessionEvent } from "./protocol";
import type { ScreenAnswer } from "../sessions/picture";

export type Grant = components["schemas"]["FolderGrant"];

/** Of the bridge's routes, those of a row. */
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

  /** Each event after this one, as far as they are kept; `end` ends it. */
  eventsAfter(seq: number, hear: (event: Partial<SessionEvent>) => void): { end(): void } {
    const socket = this.openSocket(`/v1/events?cursor=${seq}&output=0`);
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") hear(JSON.parse(data) as Partial<SessionEvent>);
    };
    return { end: () => socket.close() };
  }
}
