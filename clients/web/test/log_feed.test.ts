import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ASIDE_MAX, LogFeed } from "../src/logs/log_feed";
import { readOlder } from "../src/logs/older";

/** The bridge's side of a connection. */
class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  closed = false;
  constructor(readonly cursor: number) {}
  close(): void {
    this.closed = true;
  }
  say(...messages: string[]): void {
    for (const data of messages) if (!this.closed) this.onmessage?.({ data });
  }
}

const message = (seq: number, type = "status"): string => JSON.stringify({ seq, scope: "session", scope_id: "s", type, at: "", data: { lost: null } });
const seqs = (messages: readonly string[]): number[] => messages.map((json) => (JSON.parse(json) as { seq: number }).seq);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("addEventListener", (_: string, listener: () => void) => listeners.add(listener));
  vi.stubGlobal("removeEventListener", (_: string, listener: () => void) => listeners.delete(listener));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  listeners.clear();
});
const listeners = new Set<() => void>();

function fake(): { feed: LogFeed; sockets: FakeSocket[]; taken: number[]; firsts: number[]; states: string[] } {
  const sockets: FakeSocket[] = [];
  const [taken, firsts, states]: [number[], number[], string[]] = [[], [], []];
  const feed = new LogFeed({
    open: (cursor) => {
      const socket = new FakeSocket(cursor);
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
    newest: () => taken.at(-1) ?? 0,
    take: (messages, first) => {
      if (first) firsts.push(seqs(messages)[0] ?? 0);
      taken.push(...seqs(messages));
    },
    state: (state) => states.push(state),
  });
  return { feed, sockets, taken, firsts, states };
}

describe("the panel's socket", () => {
  it("goes on after the last event taken, and says which is the first of a connection", () => {
    const { feed, sockets, taken, firsts, states } = fake();
    feed.open();
    sockets[0]?.onopen?.();
    sockets[0]?.say(message(1), message(2));
    vi.advanceTimersByTime(100);
    sockets[0]?.say(message(3));
    sockets[0]?.onclose?.({ code: 1006 });
    vi.advanceTimersByTime(1000);
    expect(taken, "what lay aside is taken before it is asked for more").toEqual([1, 2, 3]);
    expect(sockets.map(({ cursor }) => cursor)).toEqual([0, 3]);
    sockets[1]?.say(message(4));
    vi.advanceTimersByTime(100);
    expect(firsts).toEqual([1, 4]);
    expect(states).toEqual(["connecting", "live", "reconnecting"]);
  });

  it("lets only so much lie aside, and asks for the rest when there is room", () => {
    const { feed, sockets, taken } = fake();
    feed.open();
    for (let seq = 1; seq <= ASIDE_MAX + 500; seq++) sockets[0]?.say(message(seq));
    expect(sockets[0]?.closed).toBe(true);
    vi.advanceTimersByTime(60);
    expect(sockets.length, "not before all of it is taken").toBe(1);
    vi.advanceTimersByTime(1000);
    expect(taken.length).toBe(ASIDE_MAX);
    expect(sockets[1]?.cursor).toBe(ASIDE_MAX);
  });

  it("takes what lies aside when it is closed, and nothing after", () => {
    const { feed, sockets, taken, states } = fake();
    feed.open();
    sockets[0]?.say(message(1));
    feed.close();
    sockets[0]?.say(message(2));
    vi.advanceTimersByTime(60_000);
    expect([taken, sockets.length, states.at(-1)]).toEqual([[1], 1, "closed"]);
    feed.open();
    expect(sockets[1]?.cursor).toBe(1);
  });

  it("connects anew when the network is back, and never after it was refused", () => {
    const { feed, sockets, states } = fake();
    feed.open();
    sockets[0]?.say(message(7));
    listeners.forEach((online) => online());
    expect([sockets[0]?.closed, sockets[1]?.cursor]).toEqual([true, 7]);
    sockets[1]?.onclose?.({ code: 4003 });
    vi.advanceTimersByTime(60_000);
    expect([sockets.length, states.at(-1), listeners.size]).toEqual([2, "refused", 0]);
  });
});

describe("what was before", () => {
  /** A bridge that keeps these, and tells a gap first for a number it does not know. */
  function bridge(kept: readonly number[]): { open: (cursor: number) => WebSocket; cursors: number[] } {
    const cursors: number[] = [];
    const open = (cursor: number): WebSocket => {
      cursors.push(cursor);
      const socket = new FakeSocket(cursor);
      const after = kept.filter((seq) => seq > cursor);
      const known = cursor === 0 || kept.includes(cursor);
      setTimeout(() => socket.say(...(known ? [] : [message((after[0] ?? 1) - 1, "gap")]), ...after.map((seq) => message(seq))), 1);
      return socket as unknown as WebSocket;
    };
    return { open, cursors };
  }
  const read = async (kept: readonly number[], last: number, count: number): Promise<{ seqs: number[]; whole: boolean; cursors: number[] }> => {
    const { open, cursors } = bridge(kept);
    const reading = readOlder(open, last, count, new AbortController().signal);
    await vi.advanceTimersByTimeAsync(60_000);
    const { messages, whole } = await reading;
    return { seqs: seqs(messages), whole, cursors };
  };
  const run = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

  it("is read in one go where numbers have no holes", async () => {
    expect(await read(run(1_000_000, 1_001_000), 1_000_900, 10)).toEqual({ seqs: run(1_000_891, 1_000_900), whole: false, cursors: [1_000_890] });
  });

  it("is found beyond the hole between two lives, without what is none of it", async () => {
    const kept = [...run(5_000, 5_009), ...run(9_000_000, 9_000_005)];
    const { seqs: found, whole, cursors } = await read(kept, 9_000_001, 8);
    expect(found).toEqual([...run(5_004, 5_009), ...run(9_000_000, 9_000_001)]);
    expect(whole).toBe(false);
    expect(cursors.at(-1)).toBe(0);
  });

  it("ends at the beginning, and says so", async () => {
    expect(await read(run(5_000, 5_009), 5_006, 100)).toMatchObject({ seqs: run(5_000, 5_006), whole: true });
    expect(await read(run(5_000, 5_006), 5_006, 100), "also when it is the newest there is").toMatchObject({ seqs: run(5_000, 5_006), whole: true });
    expect(await read([7_000], 5_006, 100), "what it was is not kept any more").toMatchObject({ seqs: [], whole: true });
  });

  it("is not said to be nothing when the bridge only says nothing", async () => {
    const reading = readOlder(bridge([]).open, 5_006, 100, new AbortController().signal);
    const refused = expect(reading).rejects.toThrow("Try again");
    await vi.advanceTimersByTimeAsync(60_000);
    await refused;
  });

  it("keeps only so many of a long log", async () => {
    expect(await read([...run(1, 5_000), 80_000_000], 80_000_000, 100)).toMatchObject({ seqs: [...run(4_902, 5_000), 80_000_000], whole: false });
  });

  it("is given up with the panel", async () => {
    const abort = new AbortController();
    const reading = readOlder(bridge(run(1, 10)).open, 5, 3, abort.signal);
    abort.abort();
    await expect(reading).rejects.toThrow();
  });
});
