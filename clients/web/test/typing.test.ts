import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Handoff } from "../src/lease/handoff";
import { FREE, type LeaseState } from "../src/lease/lease_view";
import type { Connection } from "../src/stream/connection";
import { Typing } from "../src/terminal/typing";

const HELD: LeaseState = { ...FREE, owner: "other", owner_name: "ana", owner_kind: "cli", epoch: 2 };
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (written: string): Uint8Array => new TextEncoder().encode(written);

function make(): { typing: Typing; sent: string[]; claims: boolean[]; told: string[]; set(more: Partial<{ lease: LeaseState; connection: Connection; live: boolean; ended: boolean }>): void } {
  const state = { lease: FREE as LeaseState, connection: { state: "live" } as Connection, live: true, ended: false };
  const sent: string[] = [];
  const claims: boolean[] = [];
  const told: string[] = [];
  const notify = (said: string): void => void told.push(said);
  const typing = new Typing({
    watchOnly: false,
    handoff: new Handoff("me", notify),
    bracketed: () => false,
    guarded: () => true,
    unsent: () => 0,
    ended: () => state.ended,
    mine: () => state.lease.owner === "me",
    lease: () => state.lease,
    connection: () => state.connection,
    live: () => state.live,
    claim: (force) => state.live && claims.push(force) > 0,
    send: (typed) => void sent.push(text(typed)),
    notConnected: () => notify("not connected"),
    notify,
  });
  return { typing, sent, claims, told, set: (more) => void Object.assign(state, more) };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("typing", () => {
  it("claims a free lease once, and what waited for it is typed in order", () => {
    const { typing, sent, claims, set } = make();
    for (const key of ["l", "s", "\r"]) typing.type(bytes(key));
    expect([sent, claims, typing.claiming]).toEqual([[], [false], true]);
    set({ lease: { ...FREE, owner: "me", epoch: 1 } });
    typing.gained();
    expect([sent, typing.claiming]).toEqual([["l", "s", "\r"], false]);
    typing.type(bytes("x"));
    expect(sent).toEqual(["l", "s", "\r", "x"]);
  });

  it("types nothing while another has control, and shows how to get it", () => {
    const { typing, sent, claims, set } = make();
    set({ lease: HELD });
    typing.type(bytes("x"));
    expect([sent, claims, typing.hint.value]).toEqual([[], [], true]);
  });

  it("forgets what waited when somebody else was faster", () => {
    const { typing, sent, set } = make();
    typing.type(bytes("rm"));
    set({ lease: HELD });
    typing.refused();
    set({ lease: { ...FREE, owner: "me", epoch: 3 } });
    typing.gained();
    expect([sent, typing.hint.value]).toEqual([[], false]);
  });

  it("tells a claim that nobody answers, and one that the connection lost", () => {
    const { typing, told } = make();
    typing.type(bytes("x"));
    vi.advanceTimersByTime(5_000);
    expect(told).toEqual(["The bridge did not answer the claim. Nothing was typed."]);
    typing.claim(false);
    typing.connectionChanged({ state: "connecting" });
    expect([told.at(-1), typing.claiming]).toEqual(["The connection dropped before control was yours.", false]);
  });

  it("keeps a bounded amount for a claim", () => {
    const { typing, told } = make();
    for (let count = 0; count < 17; count++) typing.type(new Uint8Array(64 * 1024));
    expect([told, typing.claiming]).toEqual([["1.1 MiB are too much to keep until control is yours. Claim it first. Nothing was typed."], false]);
  });

  it("goes on blindly for five seconds without a connection", () => {
    const { typing, sent, told, set } = make();
    set({ lease: { ...FREE, owner: "me", epoch: 1 }, live: false, connection: { state: "connecting" } });
    typing.connectionChanged({ state: "connecting" });
    vi.advanceTimersByTime(4_900);
    typing.type(bytes("a"));
    vi.advanceTimersByTime(200);
    typing.type(bytes("b"));
    expect([sent, told]).toEqual([["a"], ["not connected"]]);
  });

  it("says what was lost, and who it was lost to", () => {
    const { typing, told, set } = make();
    set({ lease: HELD });
    typing.dropped(3, null);
    typing.dropped(2, { type: "error", code: "lease_lost", message: "gone", by: "a\u202eb" });
    expect(told).toEqual([
      "The program was started anew; 3 bytes typed for the old one were not typed.",
      "2 bytes were not typed: a\\u{202e}b took control first.",
    ]);
  });
});
