import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AttentionMark } from "../src/notify/marks";
import { Notifier, notificationText } from "../src/notify/notifier";
import type { NotifyPreferences } from "../src/notify/preferences";

beforeEach(() => void vi.useFakeTimers({ now: new Date("2026-01-10T12:00:00Z") }));
afterEach(() => void vi.useRealTimers());

const ON: NotifyPreferences = { notifications: true, bell: true, finished: true, message: true, long_s: 10, pictures: true };
const bell = (seq: number): AttentionMark => ({ kind: "bell", seq, at: new Date().toISOString() });

function make(more: Partial<NotifyPreferences> = {}): { notifier: Notifier; shown: { title: string; text: string; id: string }[]; seen: Set<number>; opened: string[] } {
  const shown: { title: string; text: string; id: string }[] = [];
  const seen = new Set<number>();
  const opened: string[] = [];
  const notifier = new Notifier({
    preferences: () => ({ ...ON, ...more }),
    nameOf: (id) => (id === "gone" ? null : `name of ${id}`),
    isSeen: (_id, seq) => seen.has(seq),
    open: (id) => opened.push(id),
    show: (title, text, id, pressed) => {
      shown.push({ title, text, id });
      pressed();
    },
  });
  return { notifier, shown, seen, opened };
}

describe("notifications", () => {
  it("say the session's name and a short text, and open it when pressed", async () => {
    const { notifier, shown, opened } = make();
    notifier.raised("a", { kind: "message", seq: 1, at: new Date().toISOString(), text: `hi\n\u202Ethere${"x".repeat(500)}` });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(shown).toHaveLength(1);
    expect(shown[0]).toMatchObject({ title: "name of a", id: "a" });
    expect(shown[0]?.text).toMatch(/^hi \\u\{202e\}there/);
    expect(shown[0]?.text.length).toBeLessThanOrEqual(120);
    expect(opened).toEqual(["a"]);
  });

  it("come at most every five seconds of one session, however often it rings", async () => {
    const { notifier, shown } = make();
    for (let seq = 1; seq <= 1000; seq++) {
      notifier.raised("a", bell(seq));
      await vi.advanceTimersByTimeAsync(10);
    }
    await vi.advanceTimersByTimeAsync(1_000);
    expect(shown).toHaveLength(2);
  });

  it("come of many sessions at most five in ten seconds", async () => {
    const { notifier, shown } = make();
    for (let seq = 1; seq <= 100; seq++) notifier.raised(`s${seq}`, bell(seq));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(shown).toHaveLength(5);
  });

  it("come of nothing that was seen meanwhile, is old, is of no session, or is not wanted", async () => {
    const { notifier, shown, seen } = make({ finished: false });
    notifier.raised("a", bell(1));
    seen.add(1);
    notifier.raised("b", { kind: "finished", seq: 2, at: new Date().toISOString(), code: 0 });
    notifier.raised("c", { kind: "ended", seq: 3, at: new Date().toISOString(), code: 0 });
    notifier.raised("d", { ...bell(4), at: "2026-01-10T11:58:59Z" });
    notifier.raised("gone", bell(5));
    const off = make({ notifications: false });
    off.notifier.raised("a", bell(6));
    await vi.advanceTimersByTimeAsync(5_000);
    expect([...shown, ...off.shown]).toEqual([]);
  });

  it("tell how something ended", () => {
    const text = (mark: Partial<AttentionMark>): string => notificationText({ kind: "finished", seq: 1, at: "", ...mark });
    expect(text({ code: 0, ms: 12_000 })).toBe("A command finished after 12 s");
    expect(text({ code: 2 })).toBe("A command failed with exit code 2");
    expect(text({ code: null })).toBe("A command ended");
    expect(text({ kind: "ended", code: 3 })).toBe("The session ended with exit code 3");
    expect(text({ kind: "ended", text: "lost", code: null })).toBe("Its host died");
    expect(text({ kind: "message", text: "" })).toBe("Sent a notification without text");
  });
});
