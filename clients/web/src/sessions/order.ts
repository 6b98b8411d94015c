/** Which sessions the list shows, and in which order. */

import type { Session, SessionDetail } from "../api/protocol";

export const SHOWN = ["all", "needs", "living", "ended"] as const;
export type Shown = (typeof SHOWN)[number];

export function isLiving({ status }: Pick<Session, "status">): boolean {
  return status === "starting" || status === "running";
}

/** Whether its program reads a line that it does not show, as for a password. */
export function asksForPassword({ status, modes }: SessionDetail): boolean {
  return status === "running" && modes.canonical && !modes.echo;
}

/** Living sessions first; within each, in the order they were made, so that rows do not jump. */
export function byLifeThenAge(a: Session, b: Session): number {
  const life = Number(isLiving(b)) - Number(isLiving(a));
  return life !== 0 ? life : Date.parse(b.created_at) - Date.parse(a.created_at);
}

export function belongs(session: Session, shown: Shown, needs: boolean): boolean {
  switch (shown) {
    case "all":
      return true;
    case "needs":
      return needs;
    case "living":
      return isLiving(session);
    case "ended":
      return !isLiving(session);
  }
}

/** Whether each word is found somewhere in what is known of a session. */
export function matches(session: Session, detail: SessionDetail | undefined, filter: string): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return true;
  const text = searchText(session, detail);
  return words.every((word) => text.includes(word));
}

function searchText(session: Session, detail: SessionDetail | undefined): string {
  const { title, terminal_title, command, id, status, lease, labels, parked, sandbox } = session;
  const parts = [
    title, terminal_title, command.join(" "), id, status, lease?.owner_name, parked && "parked", sandbox.profile,
    detail?.cwd, detail?.foreground?.command,
    ...Object.entries(labels).map(([key, value]) => labelText(key, value)),
  ];
  return parts.filter((part) => typeof part === "string").join("\n").toLowerCase();
}

/** A label as people write it. */
export function labelText(key: string, value: string): string {
  return value === "" ? key : `${key}=${value}`;
}
