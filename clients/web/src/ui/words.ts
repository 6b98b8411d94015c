/** Numbers and states in plain words. */

import type { Exit, Layer, Session } from "../api/protocol";

export function bytesText(bytes: number): string {
  if (bytes === 1) return "1 byte";
  if (bytes < 1024) return `${bytes} bytes`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KiB"] : bytes < 1024 ** 3 ? [bytes / 1024 ** 2, "MiB"] : [bytes / 1024 ** 3, "GiB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** "just now", "5 min ago", "3 h ago", "2 days ago". */
export function agoText(time: string, now: number): string {
  const minutes = Math.floor((now - Date.parse(time)) / 60_000);
  if (!Number.isFinite(minutes)) return "";
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  const days = Math.floor(hours / 24);
  return days === 1 ? "yesterday" : `${days} days ago`;
}

const SIGNALS: Readonly<Record<number, string>> = { 1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM" };

/** How a program ended, as one sentence. Unknown is said, never guessed. */
export function exitText(exit: Exit): string {
  const { code, signal, reason } = exit;
  const why = reason && reason !== "exit" && reason !== "exited" ? ` (${reason.replaceAll("_", " ")})` : "";
  if (signal !== null && signal !== undefined) return `Ended by ${SIGNALS[signal] ?? `signal ${signal}`}${why}`;
  if (code === null || code === undefined) return `Ended; its exit code is not known${why}`;
  return code === 0 ? `Ended normally${why}` : `Ended with exit code ${code}${why}`;
}

/** How somebody closed a session: the signal that did it is how, not why. */
export function closedText({ reason }: Pick<Exit, "reason">): string {
  return reason ? `Closed (${reason.replaceAll("_", " ")})` : "Closed";
}

export function statusText(session: Session): string {
  switch (session.status) {
    case "starting":
      return "Starting";
    case "running":
      return session.parked ? "Parked" : "Running";
    case "exited":
      return session.exit ? exitText(session.exit) : "Ended";
    case "closed":
      return "Closed";
    case "lost":
      return "Lost with its host";
    case "failed":
      return "Did not start";
  }
}

/** The name people gave, or enough of the id to tell sessions apart. */
export function sessionName(session: Pick<Session, "id" | "title">): string {
  return session.title || `Session …${session.id.slice(-6)}`;
}

/** What runs in it: the program's own title, else the command. */
export function sessionSubtitle(session: Session, foreground: string | null): string {
  return session.terminal_title || foreground || session.command.join(" ") || "login shell";
}

/** "14:03:22", with the day when it is not today's. */
export function clockText(at: number, now: number): string {
  const time = new Date(at);
  const clock = time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (time.toDateString() === new Date(now).toDateString()) return clock;
  return `${time.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${clock}`;
}

/** "420 ms", "3.2 s", "2 min 5 s", "1 h 4 min". */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

/** How far a session is confined: one line, and what is missing of it; null for one that is not. */
export function sandboxLine(session: Pick<Session, "sandbox" | "grants">): { text: string; missing: string | null } | null {
  const { profile, layers } = session.sandbox;
  if (profile === "host") return null;
  const grants = session.grants?.length ?? 0;
  const folders = grants === 0 ? "no folder of yours" : grants === 1 ? `${session.grants?.[0]?.root_path}` : `${grants} folders`;
  const network = layers.find((layer) => layer.name === "network" && layer.status === "enforced");
  // One of its own with a way out says where to.
  const reached = network ? (network.detail ? `, network ${network.detail}` : ", no network") : "";
  const text = `Confined (${profile}): ${folders}${reached}`;
  return { text, missing: missingText(layers) };
}

/**
 * The limits of a session: one line with each, and those that are not there on this host; null when it has none. Most hold in part
 * only without a cgroup: that is told in `detail`, and alarms nobody.
 */
export function limitsLine(session: Pick<Session, "limits">): { text: string; missing: string | null; detail: string | null } | null {
  const { memory_bytes, processes, cpu_weight, open_files, wall_s, disk_bytes, layers } = session.limits ?? {};
  const asked = [
    typeof memory_bytes === "number" && `memory ${bytesText(memory_bytes)}`,
    typeof processes === "number" && `${processes} processes`,
    typeof cpu_weight === "number" && `CPU weight ${cpu_weight}`,
    typeof open_files === "number" && `${open_files} open files`,
    typeof wall_s === "number" && `time ${durationText(wall_s * 1000)}`,
    typeof disk_bytes === "number" && `disk ${bytesText(disk_bytes)}`,
  ].filter((text) => text !== false);
  if (asked.length === 0) return null;
  const absent = (layers ?? []).filter((layer) => layer.status === "absent");
  const missing = missingText(absent);
  return { text: `Limits: ${asked.join(", ")}`, missing: missing === null ? null : `limit: ${missing}`, detail: missingText(layers ?? []) };
}

/** What of these layers does not hold, or not wholly, and why; null when all do. */
function missingText(layers: readonly Layer[]): string | null {
  const missing = layers
    .filter((layer) => layer.status !== "enforced")
    .map((layer) => `${layer.name.replaceAll("_", " ")} ${layer.status === "absent" ? "is missing" : "holds in part"}${layer.detail ? ` (${layer.detail})` : ""}`);
  return missing.length === 0 ? null : missing.join("; ");
}
