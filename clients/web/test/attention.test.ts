import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SessionEvent } from "../src/api/protocol";

const at = "2026-01-10T12:00:00.000Z";
const bell = (seq: number, id = "a"): Partial<SessionEvent> => ({ scope: "session", scope_id: id, seq, type: "mark", at, data: { kind: "bell" } });

let stored: Map<string, string>;
beforeEach(() => {
  vi.useFakeTimers();
  stored = new Map();
  vi.stubGlobal("localStorage", { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, value: string) => void stored.set(key, value) });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** A page as it is opened; `asked` are the catch-ups it began. */
async function make(waiting: ReadonlyMap<string, number> = new Map()) {
  const { Attention } = await import("../src/notify/attention");
  const asked: { from: number; hear: (event: Partial<SessionEvent>) => void; ended: boolean }[] = [];
  const raised: [string, number][] = [];
  const attention = new Attention({
    rows: {
      eventsAfter: (from, hear) => {
        const one = { from, hear, ended: false };
        asked.push(one);
        return { end: () => void (one.ended = true) };
      },
    },
    waiting: signal(waiting),
    long_ms: () => 10_000,
    raised: (id, mark) => raised.push([id, mark.seq]),
  });
  return { attention, asked, raised };
}

describe("attention", () => {
  it("is wanted by a session that nobody looks at, until somebody does", async () => {
    const { attention, raised } = await make();
    attention.look("a");
    attention.event(bell(1, "a"));
    attention.event(bell(2, "b"));
    expect([attention.wanted.value.has("a"), attention.wanted.value.has("b"), attention.wanted.value.size]).toEqual([false, true, 1]);
    attention.look("b");
    expect([attention.wanted.value.has("b"), attention.wanted.value.size]).toEqual([false, 0]);
    attention.look(null);
    attention.event(bell(3, "a"));
    expect(raised).toEqual([["b", 2], ["a", 3]]);
  });

  it("asks once for what happened while the page was closed, from the last event heard", async () => {
    const first = await make();
    first.attention.event(bell(5, "b"));
    await vi.advanceTimersByTimeAsync(1_000);
    const { attention, asked } = await make();
    expect(attention.wanted.value.has("b")).toBe(true);
    attention.missed();
    expect(asked.map(({ from }) => from)).toEqual([5]);
    asked[0]?.hear(bell(7, "c"));
    expect(attention.wanted.value.has("c")).toBe(true);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked[0]?.ended).toBe(true);
  });

  it("ends that where the feed began, and says nothing of it to be heard before", async () => {
    stored.set("baton.attention", JSON.stringify({ heard: 5, marks: [], looked: [] }));
    const { attention, asked } = await make();
    attention.missed();
    attention.event(bell(90, "b"));
    await vi.advanceTimersByTimeAsync(600);
    expect(JSON.parse(stored.get("baton.attention") ?? "{}")).toMatchObject({ heard: 5 });
    asked[0]?.hear(bell(50, "c"));
    expect(asked[0]?.ended).toBe(false);
    asked[0]?.hear(bell(90, "b"));
    expect(asked[0]?.ended).toBe(true);
    await vi.advanceTimersByTimeAsync(600);
    expect(JSON.parse(stored.get("baton.attention") ?? "{}")).toMatchObject({ heard: 90 });
  });

  it("goes through a bounded number of events", async () => {
    stored.set("baton.attention", JSON.stringify({ heard: 5, marks: [], looked: [] }));
    const { attention, asked } = await make();
    attention.missed();
    for (let seq = 6; seq <= 20_006; seq++) if (!asked[0]?.ended) asked[0]?.hear(bell(seq, "c"));
    expect(asked[0]?.ended).toBe(true);
  });

  it("counts the approvals that wait in each session", async () => {
    const { attention } = await make(new Map([["a", 2], ["b", 1]]));
    expect([attention.pendingIn("a"), attention.pendingIn("b"), attention.wanted.value.has("b"), attention.wanted.value.size]).toEqual([2, 1, true, 2]);
  });

  it("learns that another tab looked", async () => {
    const { attention } = await make();
    attention.event(bell(4, "a"));
    attention.stored(JSON.stringify({ heard: 4, marks: [], looked: [["a", 4]] }));
    expect(attention.wanted.value.has("a")).toBe(false);
  });
});
