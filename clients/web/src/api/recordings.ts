/** What of a session can be taken away as a file. */

import { limited, type Requests } from "./requests";

/** As what a part of a session is taken away. */
export type ExportFormat = "cast3" | "cast2" | "text";

/** Lines above the last screen that go into a text. */
export const TEXT_LINES_MAX = 10_000;

export interface ExportRequest {
  format: ExportFormat;
  /** Cursors; null is the beginning, or the newest output. */
  from: string | null;
  to: string | null;
}

export class RecordingRoutes {
  constructor(private readonly requests: Requests) {}

  /** A part of a session. A text is the screen at the end of it, with the lines above. */
  part(id: string, { format, from, to }: ExportRequest, signal: AbortSignal): Promise<Response> {
    const session = `/v1/terminal/sessions/${encodeURIComponent(id)}`;
    if (format === "text") {
      const query = new URLSearchParams({ format: "text", scrollback: String(TEXT_LINES_MAX) });
      if (to) query.set("cursor", to);
      return this.requests.send("GET", `${session}/snapshot?${query}`, undefined, limited(signal));
    }
    const query = new URLSearchParams({ version: format === "cast2" ? "2" : "3" });
    if (from) query.set("from", from);
    if (to) query.set("to", to);
    // As long as it comes it is read: only the caller ends it.
    return this.requests.send("GET", `${session}/recording.cast?${query}`, undefined, { signal });
  }
}
