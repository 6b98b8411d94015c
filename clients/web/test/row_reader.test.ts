import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RowReader } from "../src/sessions/row_reader";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

function make(takes_ms = 20): { reader: RowReader; read: string[]; most: () => number } {
  const read: string[] = [];
  let now = 0;
  let most = 0;
  const reader = new RowReader({
    read: async (id) => {
      read.push(id);
      most = Math.max(most, ++now);
      await new Promise((resume) => setTimeout(resume, takes_ms));
      now -= 1;
    },
  });
  return { reader, read, most: () => most };
}

describe("reading rows", () => {
  it("reads a row when it is shown, and not again while nothing happens", async () => {
    const { reader, read } = make();
    reader.show("a");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toEqual(["a"]);
    reader.hide("a");
    reader.show("a");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toEqual(["a"]);
  });

  it("reads a busy row every two seconds, and once more after its last output", async () => {
    const { reader, read } = make();
    reader.show("a");
    for (let step = 0; step < 40; step++) {
      reader.touched("a");
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(read.length).toBeGreaterThanOrEqual(5);
    expect(read.length).toBeLessThanOrEqual(6);
    const before = read.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read.length - before).toBeLessThanOrEqual(1);
  });

  it("waits until what a program writes has come to rest", async () => {
    const { reader, read } = make();
    reader.show("a");
    await vi.advanceTimersByTimeAsync(10_000);
    reader.touched("a");
    await vi.advanceTimersByTimeAsync(299);
    expect(read).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(read).toHaveLength(2);
  });

  it("reads what nobody sees when it comes into sight", async () => {
    const { reader, read } = make();
    reader.show("a");
    await vi.advanceTimersByTimeAsync(5_000);
    reader.hide("a");
    reader.touched("a");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toHaveLength(1);
    reader.show("a");
    await vi.advanceTimersByTimeAsync(0);
    expect(read).toHaveLength(2);
  });

  it("reads nothing while the page is hidden, and what changed then at once", async () => {
    const { reader, read } = make();
    reader.sleep(true);
    reader.show("a");
    reader.touched("a");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toEqual([]);
    reader.sleep(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(read).toEqual(["a"]);
  });

  it("reads few at once, and so many a second however many are busy", async () => {
    const { reader, read, most } = make(50);
    const ids = Array.from({ length: 50 }, (_, index) => `s${index}`);
    for (const id of ids) reader.show(id);
    for (let step = 0; step < 40; step++) {
      for (const id of ids) reader.touched(id);
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(most()).toBe(3);
    // A burst of 16, then four a second for ten seconds.
    expect(read.length).toBeLessThanOrEqual(16 + 40);
    expect(read.length).toBeGreaterThan(50);
    expect(new Set(read).size).toBe(50);
  });

  it("goes on after a read that failed, and forgets what is gone", async () => {
    const read: string[] = [];
    const reader = new RowReader({ read: async (id) => { read.push(id); throw new Error("no"); } });
    reader.show("a");
    await vi.advanceTimersByTimeAsync(5_000);
    reader.touched("a");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(read).toEqual(["a", "a"]);
    reader.keep(new Set());
    reader.touched("a");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(read).toHaveLength(2);
  });
});
