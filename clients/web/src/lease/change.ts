/**
 * What a change of the lease means to this tab. Pure: the lease before and
 * after, and what this tab wanted, give the words.
 */

import type { LeaseState } from "./lease_view";
import { ownerLabel } from "./names";

/** What this tab has asked the worker for, and not been answered. */
export interface Wish {
  claimed: boolean;
  asked: boolean;
  released: boolean;
  /** The `client_id` that control was given to. */
  gaveTo: string | null;
}

export const NO_WISH: Wish = { claimed: false, asked: false, released: false, gaveTo: null };

/** How the loser came to lose it. */
export type Circumstance = "here" | "away" | "disconnected";

export type Told =
  /** Somebody took control from us: to be seen until it is answered. */
  | { kind: "taken"; by: string; how: Circumstance }
  /** Worth a line. */
  | { kind: "notice"; text: string };

/** `met`: the change was learned from a new connection, not seen as it happened. */
export function toldOf(before: LeaseState, after: LeaseState, me: string, wish: Wish, met: boolean): Told | null {
  if (before.owner === after.owner) return null;
  if (before.owner === me) return lost(before, after, wish, met);
  if (after.owner === me) return gained(before, wish, met);
  return null;
}

function lost(before: LeaseState, after: LeaseState, wish: Wish, met: boolean): Told | null {
  if (after.owner === null) return wish.released ? null : { kind: "notice", text: "Your control has ended; nobody has it now." };
  const name = ownerLabel(after);
  if (wish.gaveTo === after.owner) return { kind: "notice", text: `You gave control to ${name}.` };
  if (wish.released) return { kind: "notice", text: `You released control. ${name} had asked for it and has it now.` };
  return { kind: "taken", by: name, how: met ? "disconnected" : before.expired ? "away" : "here" };
}

function gained(before: LeaseState, wish: Wish, met: boolean): Told | null {
  // What one did oneself is no news, and neither is what a reload finds as it was.
  if (wish.claimed || met) return null;
  if (before.owner === null) return wish.asked ? { kind: "notice", text: "Control became free: you have it, as you asked." } : null;
  const name = ownerLabel(before);
  if (!wish.asked) return { kind: "notice", text: `${name} gave you control.` };
  return { kind: "notice", text: before.expired ? `${name} is away: you have control, as you asked.` : `${name} gave you control, as you asked.` };
}

export function takenText({ by, how, at }: { by: string; how: Circumstance; at: string }): string {
  switch (how) {
    case "here":
      return `${by} took control at ${at}.`;
    case "away":
      return `${by} took control at ${at}, after you had been away.`;
    case "disconnected":
      return `${by} took control while you were disconnected.`;
  }
}
