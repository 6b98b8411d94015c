import { describe, expect, it } from "vitest";
import { MarkBook, markOf, storedMarks, type AttentionMark } from "../src/notify/marks";
import { preferencesFrom } from "../src/notify/preferences";

const at = "2026-01-10T12:00:00.000Z";
const event = (seq: number, type: string, data: object) => ({ scope: "session" as const, scope_id: "a", seq, type, at, data });
const bell = (seq: number): AttentionMark => ({ kind: "bell", seq, at });

describe("what leaves a mark", () => {
  it("is a bell, a notification, a long command and a program's own end", () => {
    expect(markOf(event(1, "mark", { kind: "bell" }), 10_000)).toEqual({ kind: "bell", seq: 1, at });
    expect(markOf(event(2, "mark", { kind: "notification", text: "done" }), 10_000)).toMatchObject({ kind: "message", text: "done" });
    expect(markOf(event(3, "mark", { kind: "command_end", exit_code: 2, duration_ms: 10_000 }), 10_000)).toMatchObject({ kind: "finished", code: 2, ms: 10_000 });
    expect(markOf(event(4, "exit", { code: 3, signal: null, reason: "exit" }), 0)).toMatchObject({ kind: "ended", code: 3 });
    expect(markOf(event(5, "status", { status: "lost" }), 0)).toMatchObject({ kind: "ended", text: "lost" });
  });

  it("is no short command, no prompt, no close by a person, and nothing of another scope", () => {
    expect(markOf(event(1, "mark", { kind: "command_end", exit_code: 0, duration_ms: 9_999 }), 10_000)).toBeNull();
    expect(markOf(event(2, "mark", { kind: "prompt" }), 0)).toBeNull();
    expect(markOf(event(3, "exit", { code: null, signal: 1, reason: "closed from the page" }), 0)).toBeNull();
    expect(markOf(event(4, "status", { status: "running" }), 0)).toBeNull();
    expect(markOf({ ...event(5, "mark", { kind: "bell" }), scope: "system" }, 0)).toBeNull();
    expect(markOf({ type: "mark", data: { kind: "bell" } }, 0)).toBeNull();
  });
});

describe("the book of marks", () => {
  it("comes to the same whatever the order, and however often it hears of one", () => {
    const events: [string, AttentionMark][] = [["a", bell(4)], ["a", bell(9)], ["b", { kind: "message", seq: 6, at, text: "x" }]];
    const book = (order: number[]) => {
      const made = new MarkBook(null);
      made.hear(9);
      made.look("a", 5);
      for (const index of order) { const [id, mark] = events[index] ?? ["", bell(0)]; made.take(id, mark); }
      return Object.fromEntries(made.marks);
    };
    const wanted = { a: { bell: bell(9) }, b: { message: { kind: "message", seq: 6, at, text: "x" } } };
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 1, 2, 2]]) expect(book(order)).toEqual(wanted);
  });

  it("forgets by a look what was before it, and nothing else", () => {
    const book = new MarkBook(null);
    book.take("a", bell(3));
    book.take("a", { kind: "finished", seq: 8, at, code: 0 });
    expect(book.look("a", 5)).toBe(true);
    expect([...book.marks.get("a") ? Object.keys(book.marks.get("a") ?? {}) : []]).toEqual(["finished"]);
    expect(book.take("a", bell(4))).toBe(false);
    expect(book.isSeen("a", 5)).toBe(true);
    expect(book.isSeen("a", 6)).toBe(false);
  });

  it("outlives a reload, and learns of looks in another tab", () => {
    const book = new MarkBook(null);
    book.hear(7);
    book.take("a", bell(7));
    book.take("b", bell(6));
    const again = new MarkBook(storedMarks(JSON.stringify(book.stored())));
    expect(again.heard).toBe(7);
    expect([...again.marks.keys()].sort()).toEqual(["a", "b"]);
    const other = new MarkBook(book.stored());
    other.look("a", 7);
    again.merge(other.stored());
    expect([...again.marks.keys()]).toEqual(["b"]);
  });

  it("holds what is left of 300 sessions, and drops those that are gone", () => {
    const book = new MarkBook(null);
    for (let seq = 1; seq <= 400; seq++) book.take(`s${seq}`, bell(seq));
    expect(book.marks.size).toBe(300);
    expect(book.marks.has("s400") && !book.marks.has("s100")).toBe(true);
    expect(book.keep(new Set(["s400"]))).toBe(true);
    expect([...book.marks.keys()]).toEqual(["s400"]);
    expect(book.keep(new Set(["s400"]))).toBe(false);
  });

  it("takes nothing from storage that it did not put there", () => {
    for (const text of [null, "", "x", "1", "[]", "{}", '{"heard":1}', '{"heard":"1","marks":[],"looked":[]}', '{"heard":1,"marks":[["a",null]],"looked":[]}']) {
      expect(storedMarks(text)).toBeNull();
    }
    expect(storedMarks('{"heard":1,"marks":[],"looked":[["a",1]]}')).not.toBeNull();
  });
});

describe("what this browser tells of", () => {
  it("is what was chosen, within bounds, and what is usual for the rest", () => {
    expect(preferencesFrom(null)).toEqual({ notifications: false, bell: true, finished: true, message: true, long_s: 10, pictures: true });
    expect(preferencesFrom('{"bell":false,"long_s":0,"pictures":"no"}')).toMatchObject({ bell: false, long_s: 1, pictures: true });
    expect(preferencesFrom("nonsense")).toMatchObject({ long_s: 10 });
  });
});
