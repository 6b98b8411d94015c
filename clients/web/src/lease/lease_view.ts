/**
 * What the lease means to the person in front of this tab: one sentence and the
 * things they may do about it. Pure; the worker alone decides who owns.
 */

import type { ClientInfo, ClientKind, SessionStatus } from "../api/protocol";

export interface LeaseState {
  owner: string | null;
  owner_name: string | null;
  owner_kind: ClientKind | null;
  epoch: number;
  /** The worker announced the expiry: claimable, not revoked. */
  expired: boolean;
}

export const FREE: LeaseState = { owner: null, owner_name: null, owner_kind: null, epoch: 0, expired: false };

export interface LeaseView {
  state: "mine" | "held" | "free";
  /** Not certain now: the connection is down, or the program ended. */
  dim: boolean;
  text: string;
  can: { claim: boolean; release: boolean; take: boolean; ask: boolean };
  /** The question to put before control is taken; none when none is needed. */
  confirm: string | null;
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
    return { state, dim: true, text: "Read only", can: NOTHING, confirm: null };
  }
  const name = ownerLabel(lease);
  if (!live) {
    const who = mine ? "You" : free ? "Nobody" : name;
    const text = known ? `${who} had control when the connection dropped` : "Not known yet who has control";
    return { state, dim: true, text, can: NOTHING, confirm: null };
  }
  if (watchOnly) {
    return { state, dim: false, text: free ? "You are watching" : `You are watching ${name}`, can: NOTHING, confirm: null };
  }
  if (mine) {
    return { state, dim: false, text: "You have control", can: { ...NOTHING, release: true }, confirm: null };
  }
  if (free) {
    return { state, dim: false, text: "Nobody has control — type to take it", can: { ...NOTHING, claim: true }, confirm: null };
  }
  if (lease.expired) {
    return { state, dim: false, text: `${name} is away — type to take control`, can: { ...NOTHING, claim: true }, confirm: null };
  }
  const person = !isAgent(lease.owner_kind);
  const here = clients.some((client) => client.client_id === lease.owner);
  return {
    state,
    dim: false,
    text: `${name} has control`,
    can: { ...NOTHING, take: true, ask: true },
    confirm: person && here ? `Take control from ${name}? They are connected now and will see that you took it.` : null,
  };
}

/** Whether a typed key may claim: nobody holds the lease, or its holder's time ran out. */
export function claimableByTyping(lease: LeaseState): boolean {
  return lease.owner === null || lease.expired;
}

/** "ana · cli", or just the kind when the name is not known. */
export function ownerLabel(lease: Pick<LeaseState, "owner_name" | "owner_kind">): string {
  const kind = lease.owner_kind;
  if (!lease.owner_name) return kind ? `A ${kind} client` : "Somebody else";
  return kind ? `${lease.owner_name} · ${kind}` : lease.owner_name;
}

function isAgent(kind: ClientKind | null): boolean {
  return kind === "agent" || kind === "mcp";
}
