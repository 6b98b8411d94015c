/** What can be done with one session, in its menu and in the palette. */

import type { Session } from "../api/protocol";
import { store } from "../state";
import { isLiving } from "./order";

export interface SessionAction {
  name: string;
  label: string;
  /** Where no session stands beside it. */
  whole: string;
  key?: string;
  danger?: boolean;
  act(): void;
}

/** The bridge starts these again, and no others. */
export function canStartAgain({ status }: Session): boolean {
  return status === "exited" || status === "lost";
}

export function sessionActions(session: Session): SessionAction[] {
  const { id } = session;
  const { question } = store.desk;
  const ask = (what: "rename" | "labels" | "close" | "forget") => (): void => void (question.value = { ask: what, id });
  const actions: SessionAction[] = [
    { name: "rename", label: "Rename…", whole: "Rename this session…", key: "F2", act: ask("rename") },
    { name: "labels", label: "Labels…", whole: "Labels of this session…", act: ask("labels") },
  ];
  if (canStartAgain(session)) actions.push({ name: "respawn", label: "Start again", whole: "Start this session again", act: () => void store.startAgain(id) });
  if (isLiving(session)) actions.push({ name: "close", label: "Close session…", whole: "Close session…", key: "Delete", danger: true, act: ask("close") });
  else actions.push({ name: "forget", label: "Remove from list…", whole: "Remove this session from the list…", key: "Delete", danger: true, act: ask("forget") });
  return actions;
}
