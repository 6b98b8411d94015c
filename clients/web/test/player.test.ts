import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Player, type PlayerSink } from "../src/history/player";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const HEADER = '{"version":3,"term":{"cols":80,"rows":24}}\n';

function play(events: string, { pulled }: { pulled?: { bytes: number } } = {}): { player: Player; said: string[] } {
  const bytes = new TextEncoder().encode(HEADER + events);
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, (at += 4096)));
      if (pulled) pulled.bytes = Math.min(at, bytes.length);
    },
  }, { highWaterMark: 0 });
  const said: string[] = [];
  const sink: PlayerSink = {
    begin: ({ cols, rows }) => said.push(`begin ${cols}x${rows}`),
    output: (text) => { said.push(text); return Promise.resolve(); },
    resize: ({ cols, rows }) => said.push(`resize ${cols}x${rows}`),
    time: () => undefined,
    ended: () => said.push("ended"),
    failed: (error) => said.push(String(error)),
  };
  return { player: new Player(stream, sink), said };
}

describe("a recording", () => {
  it("plays at its own pace, silence cut short", async () => {
    const { player, said } = play('[0,"o","a"]\n[1,"o","b"]\n[3600,"o","c"]\n[0.1,"r","90x20"]\n[0,"o","d"]\n');
    player.play();
    await vi.advanceTimersByTimeAsync(500);
    expect(said).toEqual(["begin 80x24", "a"]);
    await vi.advanceTimersByTimeAsync(600);
    expect(said).toEqual(["begin 80x24", "a", "b"]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(said.length).toBe(3);
    await vi.advanceTimersByTimeAsync(1000);
    expect(said).toEqual(["begin 80x24", "a", "b", "c", "resize 90x20", "d", "ended"]);
    expect(player.playing).toBe(false);
  });

  it("plays faster and slower", async () => {
    for (const [speed, ms] of [[0.5, 2100], [4, 300], [8, 180]] as const) {
      const { player, said } = play('[0,"o","a"]\n[1,"o","b"]\n');
      player.speed = speed;
      player.play();
      await vi.advanceTimersByTimeAsync(ms * 0.5);
      expect(said.at(-1)).toBe("a");
      await vi.advanceTimersByTimeAsync(ms * 0.6);
      expect(said.at(-1)).toBe("ended");
    }
  });

  it("pauses, and reads no further meanwhile", async () => {
    const pulled = { bytes: 0 };
    const { player, said } = play(`[0,"o","a"]\n[1,"o","b"]\n${'[1,"o","x"]\n'.repeat(10_000)}`, { pulled });
    player.play();
    await vi.advanceTimersByTimeAsync(500);
    player.pause();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(said).toEqual(["begin 80x24", "a"]);
    expect(pulled.bytes).toBeLessThan(10_000);
    player.play();
    await vi.advanceTimersByTimeAsync(700);
    expect(said.at(-1)).toBe("b");
    player.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(said.at(-1)).toBe("b");
  });

  it("says what is wrong with it", async () => {
    const { player, said } = play('[0,"o","a"]\nbroken\n');
    player.play();
    await vi.advanceTimersByTimeAsync(100);
    expect(said.at(-1)).toMatch(/line 3/);
    expect(player.playing).toBe(false);
  });
});
