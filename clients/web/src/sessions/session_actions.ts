/** What can be done with one session, in its menu and in the palette. */

import type { Session } from "../api/protocol";
import { store } from "../state";
import { isLiving } from "./order";

export interface SessionAction {
  name: string;
  label: string;
  key?: string;
  danger?: boolean;
  act(): void;
}

export function sessionActions(session: Session): SessionAction[] {
  const { id, status } = session;
  const { question } = store.desk;
  const ask = (what: "rename" | "labels" | "close" | "forget") => (): void => void (question.value = { ask: what, id });
  const actions: SessionAction[] = [
    { name: "rename", label: "Rename…", key: "F2", act: ask("rename") },
    { name: "labels", label: "Labels…", act: ask("labels") },
  ];
  // The bridge starts these again, and no others.
  if (status === "exited" || status === "lost") actions.push({ name: "respawn", label: "Start again", act: () => void store.startAgain(id) });
  if (isLiving(session)) actions.push({ name: "close", label: "Close session…", key: "Delete", danger: true, act: ask("close") });
  else actions.push({ name: "forget", label: "Remove from list…", key: "Delete", danger: true, act: ask("forget") });
  return actions;
}
