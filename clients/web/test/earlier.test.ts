import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Snapshot } from "../src/api/client";
import { EarlierLines, type EarlierOptions } from "../src/terminal/earlier";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

// What a screen needs of the browser is not here; only its one method is.
vi.mock("../src/screen", () => ({ SCROLLBACK_LINES: 10_000 }));

const SNAPSHOT: Snapshot = { bytes: new Uint8Array(0), offset: 5, cells: { cols: 80, rows: 24 }, at: null };

function make(extend: EarlierOptions["screen"]["extend"]): { earlier: EarlierLines; said: string[]; asked: number[] } {
  const said: string[] = [];
  const asked: number[] = [];
  const earlier = new EarlierLines({
    client: { snapshot: (_id, _moment, lines) => { asked.push(lines); return Promise.resolve(SNAPSHOT); } },
    sessionId: "s",
    screen: { extend },
    notify: (text) => said.push(text),
  });
  return { earlier, said, asked };
}

it("earlier lines are offered while somebody looks for them, and only where there are some", async () => {
  const { earlier, asked } = make(async (ask) => { await ask(); return 40; });
  earlier.offer(true);
  expect(earlier.state.value).toBe("none");
  await earlier.load();
  expect(asked).toEqual([]);
  earlier.cut(true);
  earlier.offer(true);
  expect(earlier.state.value).toBe("offered");
  earlier.offer(false);
  expect(earlier.state.value).toBe("kept");
  earlier.offer(true);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(earlier.state.value).toBe("kept");
  await earlier.load();
  expect([earlier.state.value, asked]).toEqual(["none", [10_000]]);
});

it("an answer that does not join is asked for again, a few times", async () => {
  let tries = 0;
  const { earlier, said } = make(() => Promise.resolve(++tries < 3 ? null : 12));
  earlier.cut(true);
  await earlier.load();
  expect([tries, earlier.state.value, said]).toEqual([3, "none", []]);
  const { earlier: never, said: told } = make(() => Promise.resolve(null));
  never.cut(true);
  await never.load();
  expect([never.state.value, told.length]).toEqual(["kept", 1]);
});

it("what goes wrong is told, and it can be tried again", async () => {
  const { earlier, said } = make(() => Promise.reject(new Error("the bridge does not answer")));
  earlier.cut(true);
  await earlier.load();
  expect([earlier.state.value, said]).toEqual(["kept", ["the bridge does not answer"]]);
});
