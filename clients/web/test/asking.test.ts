import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Asking } from "../src/lease/asking";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("asking for control", () => {
  it("lapses after a minute, and says so once", () => {
    let unanswered = 0;
    const asking = new Asking(() => (unanswered += 1));
    asking.begin();
    vi.advanceTimersByTime(59_000);
    expect([asking.asked.value, unanswered]).toEqual([true, 0]);
    vi.advanceTimersByTime(60_000);
    expect([asking.asked.value, unanswered]).toEqual([false, 1]);
    asking.begin();
    asking.end();
    vi.advanceTimersByTime(60_000);
    expect([asking.asked.value, unanswered]).toEqual([false, 1]);
  });

  it("of others is kept once each, oldest first, while they are here", () => {
    const asking = new Asking(() => undefined);
    const who = (): string[] => asking.requests.value.map(({ client_id }) => client_id);
    asking.heard("a", "ana");
    vi.advanceTimersByTime(40_000);
    asking.heard("b", "ben");
    asking.heard("c", "cleo");
    asking.here([{ client_id: "a" }, { client_id: "b" }]);
    expect(who()).toEqual(["a", "b"]);
    asking.heard("a", "ana");
    expect(who()).toEqual(["b", "a"]);
    vi.advanceTimersByTime(30_000);
    expect(who(), "asking again began the minute anew").toEqual(["b", "a"]);
    vi.advanceTimersByTime(31_000);
    expect(who()).toEqual([]);
  });
});
