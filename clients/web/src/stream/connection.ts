/**
 * The state of a connection, and the words for it.
 *
 * "Live" is said only while the server answers heartbeats; whatever is not
 * known to work is not called live.
 */

export type Connection =
  | { state: "connecting" }
  | { state: "live"; rtt_ms: number | null }
  | { state: "reconnecting"; attempt: number; retry_at: number | null }
  | { state: "offline"; attempt: number; retry_at: number | null; reason: string }
  | { state: "replaced" }
  | { state: "signed_out" }
  | { state: "ended"; reason: string };

export type ConnectionState = Connection["state"];

/** The words shown for `connection` at `now` (milliseconds, the clock of `retry_at`). */
export function connectionText(connection: Connection, now: number): string {
  switch (connection.state) {
    case "connecting":
      return "Connecting…";
    case "live":
      return "Live";
    case "reconnecting":
      return `Reconnecting… attempt ${connection.attempt}${countdown(", next in", connection.retry_at, now)}`;
    case "offline":
      return `${connection.reason}${countdown(", trying again in", connection.retry_at, now)}`;
    case "replaced":
      return "Another tab took this client's place";
    case "signed_out":
      return "Signed out";
    case "ended":
      return connection.reason;
  }
}

/** Why the bridge lets nobody onto a stream, by what it closes it with: a code, or words of its own. */
export function refusalText(reason: string): string {
  if (reason === "client_id_taken") return "An agent's token opens no terminal here: sign in as a person";
  return reason.includes(" ") ? reason : "You are not allowed to open this session";
}

function countdown(words: string, retryAt: number | null, now: number): string {
  if (retryAt === null) return "";
  return `${words} ${Math.max(0, Math.ceil((retryAt - now) / 1000))} s`;
}
