import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { BatonClient, Moment, Snapshot } from "../src/api/client";
import type { RecordingRoutes } from "../src/api/recordings";
import { Refused } from "../src/api/requests";
import { History, type PastView } from "../src/history/history";
import { Latest } from "../src/history/latest";
import { landmarksOf, ticksOf } from "../src/history/marks";
import type { Mark, SessionDetail, SessionEvent } from "../src/api/protocol";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const CREATED = Date.parse("2026-01-10T12:00:00.000Z");
const END = 1000;
/** In this session one byte comes a second. */
const timeAt = (offset: number): number => CREATED + offset * 1000;

interface Fake {
  history: History;
  shown: string[];
  asked: string[];
  aborted: number;
  status: SessionDetail["status"];
  answerMs: number;
  /** What the next snapshots are answered with instead. */
  refusals: Error[];
}

function fake(events: SessionEvent[] = [], recording = ""): Fake {
  const state = { shown: [], asked: [], aborted: 0, status: "running", answerMs: 10, refusals: [] } as unknown as Fake;
  const later = async <T>(value: T, signal: AbortSignal | undefined, ms = state.answerMs): Promise<T> => {
    await new Promise((resume) => setTimeout(resume, ms));
    if (signal?.aborted) {
      state.aborted += 1;
      throw new DOMException("ended", "AbortError");
    }
    return value;
  };
  const offsetOf = (moment: Moment | null): number => (moment && "cursor" in moment ? Number(moment.cursor.split(":")[1]) : END);
  const client: Pick<BatonClient, "session" | "snapshot" | "timeOf" | "marks" | "recording"> & { recordings: Pick<RecordingRoutes, "part"> } = {
    session: () => later({
      instance: "i", status: state.status, cursor: `i:${END}`, oldest_cursor: "i:0", oldest_screen_cursor: "i:100",
      created_at: new Date(CREATED).toISOString(), last_activity_at: new Date(timeAt(END)).toISOString(),
    } as SessionDetail, undefined),
    snapshot: (_id, moment, _lines, signal) => {
      const offset = offsetOf(moment);
      state.asked.push(moment === null ? "now" : String(offset));
      const refusal = state.refusals.shift();
      if (refusal) return Promise.reject(refusal);
      const snapshot: Snapshot = { bytes: new TextEncoder().encode(`screen ${offset}`), offset, cells: { cols: 80, rows: 24 }, at: timeAt(offset) };
      return later(snapshot, signal);
    },
    timeOf: (_id, cursor, signal) => later(timeAt(offsetOf({ cursor })), signal),
    marks: (_id, signal) => later(events, signal),
    recordings: { part: (_id, { from, to }, signal) => later(new Response(`${from} to ${to}`), signal) },
    recording: (_id, moment, signal) => {
      state.asked.push(`play ${offsetOf(moment)}`);
      return later(new Response(`{"version":3,"term":{"cols":80,"rows":24}}\n${recording}`), signal);
    },
  };
  state.history = new History(client, "s");
  const view: PastView = {
    show: (bytes) => { state.shown.push(new TextDecoder().decode(bytes)); return Promise.resolve(); },
    begin: ({ cols, rows }) => state.shown.push(`begin ${cols}x${rows}`),
    output: (text) => { state.shown.push(text); return Promise.resolve(); },
    resize: () => undefined,
    mark: (wanted) => state.shown.push(`mark ${wanted}`) > 0,
    marked: () => "",
    text: () => state.shown.at(-1) ?? "",
    configure: () => undefined,
  };
  state.history.showOn(view);
  return state;
}

const mark = (offset: number, data: Partial<Mark>): SessionEvent =>
  ({ seq: offset, scope: "session", scope_id: "s", type: "mark", at: new Date(timeAt(offset)).toISOString(), data: { cursor: `i:${offset}`, kind: "command", ...data } });

describe("looking back", () => {
  it("opens at the newest screen, goes where the slider goes, and leaves at once", async () => {
    const { history, shown, asked } = fake();
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    expect(shown).toEqual(["screen 1000"]);
    expect(history.at.value).toBe(timeAt(END));
    expect([history.timeline.value?.start, history.timeline.value?.end]).toEqual([{ offset: 100, at: timeAt(100) }, { offset: END, at: timeAt(END) }]);
    history.seek(0.5);
    await vi.advanceTimersByTimeAsync(100);
    expect(shown.at(-1)).toBe("screen 550");
    expect(history.at.value).toBe(timeAt(550));
    history.seek(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(shown.at(-1)).toBe("screen 100");
    history.seek(1);
    await vi.advanceTimersByTimeAsync(100);
    expect(asked.at(-1)).toBe("now");
    history.close();
    expect(history.isOpen.value).toBe(false);
  });

  it("asks once for a drag, and only the newest answer is shown", async () => {
    const state = fake();
    const { history, shown, asked } = state;
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    for (let place = 0.9; place > 0.2; place -= 0.01) {
      history.seek(place);
      await vi.advanceTimersByTimeAsync(5);
    }
    await vi.advanceTimersByTimeAsync(100);
    expect(asked.length).toBe(2);
    expect(shown.length).toBe(2);
    // Slow answers: the one that is overtaken is ended and never shown.
    state.answerMs = 500;
    history.seek(0.8);
    await vi.advanceTimersByTimeAsync(100);
    history.seek(0.1);
    await vi.advanceTimersByTimeAsync(2000);
    expect(state.aborted).toBe(1);
    expect(shown.slice(2)).toEqual(["screen 190"]);
  });

  it("says so when it takes more than a second, and what went wrong", async () => {
    const state = fake();
    state.history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    state.answerMs = 3000;
    state.history.seek(0.5);
    await vi.advanceTimersByTimeAsync(900);
    expect([state.history.loading.value, state.history.slow.value]).toEqual([true, false]);
    await vi.advanceTimersByTimeAsync(200);
    expect(state.history.slow.value).toBe(true);
    await vi.advanceTimersByTimeAsync(3000);
    expect([state.history.loading.value, state.history.slow.value]).toEqual([false, false]);
  });

  it("asks again when the bridge is busy, and tells what else is wrong", async () => {
    const state = fake();
    state.history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    state.refusals = [new Refused(409, "busy", "16 screens"), new Refused(429, "rate_limited", "busy")];
    state.history.seek(0.5);
    await vi.advanceTimersByTimeAsync(1000);
    expect([state.shown.at(-1), state.history.error.value]).toEqual(["screen 550", null]);
    state.refusals = [new Refused(410, "cursor_trimmed", "no longer kept")];
    state.history.seek(0.2);
    await vi.advanceTimersByTimeAsync(1000);
    expect([state.shown.at(-1), state.history.error.value, state.history.loading.value]).toEqual(["screen 550", "no longer kept", false]);
    state.history.seek(0.8);
    await vi.advanceTimersByTimeAsync(1000);
    expect(state.history.error.value).toBe(null);
  });

  it("opens at a hit, marks it, and stands there on the slider once that is known", async () => {
    const { history, shown } = fake();
    history.open({ cursor: "i:325", at: timeAt(325), wanted: "needle" });
    await vi.advanceTimersByTimeAsync(100);
    expect(shown).toEqual(["screen 325", "mark needle"]);
    expect(history.place.value).toBeCloseTo(0.25, 5);
  });

  it("plays from where it stands, and comes back to live when it has caught up", async () => {
    const state = fake([], '[0,"o","screen"]\n[100,"o","a"]\n[200,"o","b"]\n[0.5,"x","0"]\n');
    const { history, shown, asked } = state;
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    history.seek(0.5);
    await vi.advanceTimersByTimeAsync(100);
    history.togglePlay();
    await vi.advanceTimersByTimeAsync(200);
    expect(asked.at(-1)).toBe("play 550");
    expect(shown.slice(-2)).toEqual(["begin 80x24", "screen"]);
    await vi.advanceTimersByTimeAsync(1500);
    expect(shown.at(-1)).toBe("a");
    expect(history.at.value).toBe(timeAt(650));
    expect(history.place.value).toBeCloseTo(550 / 900, 3);
    history.togglePlay();
    await vi.advanceTimersByTimeAsync(10_000);
    expect([shown.at(-1), history.playing.value]).toEqual(["a", false]);
    history.togglePlay();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(shown.at(-1)).toBe("b");
    expect([history.isOpen.value, history.playing.value]).toEqual([false, false]);
  });

  it("stays at the end of a session that has ended; played from there it begins anew", async () => {
    const state = fake([], '[0,"o","screen"]\n[1,"o","last"]\n');
    state.status = "exited";
    const { history, shown, asked } = state;
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    history.togglePlay();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked.at(-1)).toBe("play 100");
    expect(shown.at(-1)).toBe("last");
    expect([history.isOpen.value, history.playing.value, history.place.value]).toEqual([true, false, 1]);
  });

  it("a seek ends the playing", async () => {
    const { history, shown } = fake([], '[0,"o","screen"]\n[1,"o","a"]\n[1,"o","b"]\n');
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    history.togglePlay();
    await vi.advanceTimersByTimeAsync(500);
    history.seek(0.5);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(shown.at(-1)).toBe("screen 550");
    expect(history.playing.value).toBe(false);
  });

  it("jumps from command to command", async () => {
    const { history, shown } = fake([mark(300, { text: "make" }), mark(400, { kind: "command_end", exit_code: 2, duration_ms: 3200 }), mark(700, { text: "ls" })]);
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    expect(history.ticks.value.map(({ landmark }) => [landmark.kind, landmark.label])).toEqual([["failed", "make · exit 2 · 3.2 s"], ["command", "ls"]]);
    for (const expected of [700, 400, 400]) {
      history.jump(-1);
      await vi.advanceTimersByTimeAsync(100);
      expect(shown.at(-1)).toBe(`screen ${expected}`);
    }
    history.jump(1);
    await vi.advanceTimersByTimeAsync(100);
    expect(shown.at(-1)).toBe("screen 700");
    history.jump(1);
    expect(history.place.value).toBe(1);
  });
});

describe("exporting a part", () => {
  it("takes what lies between two moments that were looked at", async () => {
    const { history } = fake([mark(400, { kind: "command_end", exit_code: 0 }), mark(700, { kind: "command_end", exit_code: 1 })]);
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    const part = history.export;
    const read = async (): Promise<string | undefined> => {
      const reading = part.read();
      await vi.advanceTimersByTimeAsync(100);
      return (await reading)?.text();
    };
    expect(await read(), "all of it").toBe("null to null");
    history.jump(-1);
    await vi.advanceTimersByTimeAsync(100);
    part.endAt(history.momentBefore());
    history.jump(-1);
    await vi.advanceTimersByTimeAsync(100);
    part.startAt(history.moment());
    expect(await read()).toBe("i:400 to i:700");
    expect([part.from.value?.at, part.to.value?.at]).toEqual([timeAt(400), timeAt(700)]);
    expect(part.reading.value).toBeNull();
  });

  it("never ends before it begins", async () => {
    const { history } = fake();
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    const part = history.export;
    part.endAt({ offset: 500, at: 0 });
    part.startAt({ offset: 600, at: 0 });
    expect([part.from.value?.offset, part.to.value]).toEqual([600, null]);
    part.endAt({ offset: 600, at: 0 });
    expect([part.from.value, part.to.value?.offset]).toEqual([null, 600]);
    history.seek(1);
    part.endAt(history.momentBefore());
    expect(part.to.value, "the newest there is, not what was the newest").toBeNull();
  });

  it("is given up when it is closed, and forgotten when one looks back anew", async () => {
    const { history } = fake();
    history.open(null);
    await vi.advanceTimersByTimeAsync(100);
    history.export.startAt({ offset: 200, at: 0 });
    const reading = history.export.read();
    history.close();
    await vi.advanceTimersByTimeAsync(100);
    expect([await reading, history.export.error.value, history.export.reading.value]).toEqual([null, null, null]);
    history.open(null);
    expect(history.export.from.value).toBeNull();
  });
});

it("marks of another life of the program, and broken ones, are no landmarks", () => {
  const events = [
    mark(10, { cursor: "old:10", text: "before" }),
    mark(20, { kind: "prompt" }),
    mark(30, { kind: "bell" }),
    mark(40, { kind: "command_end", exit_code: 0 }),
    mark(50, { cursor: "nonsense" }),
    { ...mark(60, {}), data: null },
    { ...mark(70, {}), at: "never" },
  ];
  expect(landmarksOf(events, "i").map(({ offset, kind, label }) => [offset, kind, label])).toEqual([[30, "attention", "bell"], [40, "command", "a command · exit 0"]]);
});

it("ticks that would touch become one: the failure if there is one", () => {
  const landmarks = [1, 2, 3, 900].map((offset) => ({ offset, at: 0, kind: offset === 2 ? "failed" : "command", label: String(offset) }) as const);
  expect(ticksOf(landmarks, (offset) => offset / 1000, 100).map(({ landmark }) => landmark.label)).toEqual(["2", "900"]);
});

it("of many wishes the newest is answered, even when an older one fails late", async () => {
  const latest = new Latest(10);
  const said: string[] = [];
  const want = (name: string, ms: number, fails = false): void =>
    latest.want(
      () => new Promise((resolve, reject) => setTimeout(() => (fails ? reject(new Error(name)) : resolve(name)), ms)),
      (answer) => said.push(String(answer)),
      (error) => said.push(String(error)),
    );
  want("a", 100, true);
  await vi.advanceTimersByTimeAsync(50);
  want("b", 10);
  await vi.advanceTimersByTimeAsync(500);
  want("c", 10, true);
  await vi.advanceTimersByTimeAsync(500);
  want("d", 10);
  latest.cancel();
  await vi.advanceTimersByTimeAsync(500);
  expect(said).toEqual(["b", "Error: c"]);
});
