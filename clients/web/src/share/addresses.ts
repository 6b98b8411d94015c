/** Where a session can be opened, in the form that each way wants. Pure. */

import type { Session } from "../api/protocol";

/** Nobody but this machine reaches such a host. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "");
  return name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127(?:\.\d{1,3}){3}$/.test(name) || /^::ffff:(?:127\.|7f)/.test(name);
}

/** The page's address of a session: opens it for who is signed in there. */
export function pageAddress(origin: string, session: string): string {
  return `${origin}/#session=${encodeURIComponent(session)}`;
}

export function desktopAddress(session: string): string {
  return `baton://session/${encodeURIComponent(session)}`;
}

/**
 * A command to be pasted into a shell. A name is chosen by programs too, so one
 * with anything but letters, digits, blanks and dots gives way to the id.
 */
export function attachCommand({ id, title }: Pick<Session, "id" | "title">): string {
  const plain = /^[\p{L}\p{N}_][\p{L}\p{N} ._-]*$/u.test(title);
  if (!plain) return `baton attach ${id}`;
  return `baton attach ${title.includes(" ") ? `'${title}'` : title}`;
}

/** What a port listens on, for the command that lets other devices in. */
export function portOf(url: string): string {
  const { port, protocol } = new URL(url);
  return port || (protocol === "https:" ? "443" : "80");
}

const LEFT: readonly [number, string][] = [[86_400, "d"], [3_600, "h"], [60, "min"]];

/** "2 d", "5 h", "10 min", "30 s". */
export function leftText(seconds: number): string {
  const [size, unit] = LEFT.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
}
