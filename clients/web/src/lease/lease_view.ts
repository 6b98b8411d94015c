/**
 * What the lease means to the person in front of this tab: one sentence and the
 * things they may do about it. Pure; the worker alone decides who owns.
 */

import type { ClientInfo, ClientKind, SessionStatus } from "../api/protocol";
import { isAgent, ownerLabel } from "./names";

export { ownerLabel } from "./names";

export interface LeaseState {
  owner: string | null;
  owner_name: string | null;
  owner_kind: ClientKind | null;
  epoch: number;
  /** The worker announced the expiry: claimable, not revoked. */
  expired: boolean;
}

export const FREE: LeaseState = { owner: null, owner_name: null, owner_kind: null, epoch: 0, expired: false };

/** What is said before control is taken from a person. */
export interface Warning {
  title: string;
  text: string;
}

export interface LeaseView {
  state: "mine" | "held" | "free";
  /** Not certain now: the connection is down, or the program ended. */
  dim: boolean;
  text: string;
  /** The same where there is room for two words. */
  short: string;
  can: { claim: boolean; release: boolean; take: boolean; ask: boolean };
  /** What to say before control is taken; none when taking needs no force. */
  confirm: Warning | null;
}

export interface LeaseScene {
  lease: LeaseState;
  /** This tab's `client_id`. */
  me: string;
  clients: readonly ClientInfo[];
  status: SessionStatus;
  /** The connection is up; without it nothing can be asked of the worker. */
  live: boolean;
  /** The worker has said at least once who owns. */
  known: boolean;
  /** The principal may only watch. */
  watchOnly: boolean;
}

const NOTHING = { claim: false, release: false, take: false, ask: false };

export function leaseView({ lease, me, clients, status, live, known, watchOnly }: LeaseScene): LeaseView {
  const mine = lease.owner === me;
  const free = lease.owner === null;
  const state = mine ? "mine" : free ? "free" : "held";

  if (status !== "running" && status !== "starting") {
    return { state, dim: true, text: "Read only", short: "Read only", can: NOTHING, confirm: null };
  }
  const name = ownerLabel(lease);
  if (!live) {
    const who = mine ? "You" : free ? "Nobody" : name;
    const text = known ? `${who} had control when the connection dropped` : "Not known yet who has control";
    return { state, dim: true, text, short: text, can: NOTHING, confirm: null };
  }
  if (watchOnly) {
    return { state, dim: false, text: free ? "You are watching" : `You are watching ${name}`, short: "Watching", can: NOTHING, confirm: null };
  }
  if (mine) {
    return { state, dim: false, text: "You have control", short: "In control", can: { ...NOTHING, release: true }, confirm: null };
  }
  if (free) {
    return { state, dim: false, text: "Nobody has control — type to take it", short: "Nobody has control", can: { ...NOTHING, claim: true }, confirm: null };
  }
  if (lease.expired) {
    return { state, dim: false, text: `${name} is away — type to take control`, short: `${name}, away`, can: { ...NOTHING, claim: true }, confirm: null };
  }
  const agent = isAgent(lease.owner_kind);
  const here = clients.some((client) => client.client_id === lease.owner);
  return {
    state,
    dim: false,
    text: agent ? `${name} is at work` : here ? `${name} has control` : `${name} has control, and lost the connection`,
    short: name,
    can: { ...NOTHING, take: true, ask: true },
    confirm: agent ? null : warning(name, here),
  };
}

/** Exactly the takings that need force are warned of: a person has control, and it has not run out. */
function warning(name: string, here: boolean): Warning {
  const title = `Take control from ${name}?`;
  const text = here
    ? `${name} is connected now. They go on watching, are told that you took control, and what they type from then on is not sent. Nothing that runs is stopped.`
    : `${name} lost the connection, and keeps control for some seconds in case they come back. Wait until they are shown as away and no force is needed; or take it now, and what they typed meanwhile is not sent.`;
  return { title, text };
}

/** Whether a typed key may claim: nobody holds the lease, or its holder's time ran out. */
export function claimableByTyping(lease: LeaseState): boolean {
  return lease.owner === null || lease.expired;
}
