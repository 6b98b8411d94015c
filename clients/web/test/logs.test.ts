import { describe, expect, it } from "vitest";
import { entryOf, type LogEntry } from "../src/logs/entry";
import { EventLog, lostOf, type Change } from "../src/logs/event_log";
import { EVERYTHING, isNarrowed, isShown, matcher, THIS } from "../src/logs/filter";
import { LogView } from "../src/logs/log_view";
import { gapText, Narrator } from "../src/logs/narrator";
import { seqOf } from "../src/logs/seq";
import { indexOfSeq, RowWindow } from "../src/logs/window";

const message = (seq: number, type = "status", data: unknown = { status: "running" }, more: object = {}): string =>
  JSON.stringify({ seq, scope: "session", scope_id: "ses_1", type, at: "2026-01-10T12:00:00.000Z", data, ...more });
const mark = (seq: number, data: object): string => message(seq, "mark", data);
const gap = (seq: number, lost: number | null): string => message(seq, "gap", { lost }, { scope: "system", scope_id: "baton" });
const run = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, at) => message(from + at));
const numbers = (log: { entries: readonly LogEntry[] }): number[] => log.entries.map(({ seq }) => seq);

describe("the events of a page", () => {
  it("has each once, whatever comes twice", () => {
    const log = new EventLog();
    log.append(run(5, 9), true);
    log.append(run(7, 12), true);
    log.append(run(12, 13), false);
    expect(numbers(log)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13]);
    expect(log.newest).toBe(13);
  });

  it("puts a row where events are missing, and goes on behind it", () => {
    const log = new EventLog();
    log.append(run(5, 6), true);
    log.append([gap(29, 23), ...run(30, 31)], true);
    expect(log.entries.map(({ seq, type }) => [seq, type])).toEqual([[5, "status"], [6, "status"], [29, "gap"], [30, "status"], [31, "status"]]);
    expect(log.entries[2]?.words).toBe("23 events are missing here: they are not kept any more");
  });

  it("takes a gap of the log's own for one of its events", () => {
    const log = new EventLog();
    log.append([message(5), gap(6, 100), message(7)], true);
    log.append([gap(6, 100)], false);
    expect(numbers(log)).toEqual([5, 6, 7]);
  });

  it("mixes nothing with what is of another log", () => {
    const log = new EventLog();
    log.append(run(500, 600), true);
    const changes = log.append([gap(9, null), ...run(10, 12)], true);
    expect(changes.map(({ kind }) => kind)).toEqual(["reset", "appended"]);
    expect(numbers(log)).toEqual([9, 10, 11, 12]);
    expect([log.newest, log.before]).toEqual([12, "nothing"]);
  });

  it("keeps what it has when only nobody knows how many are missing", () => {
    const log = new EventLog();
    log.append(run(5, 6), true);
    log.append([gap(900, null), message(901)], true);
    expect(numbers(log)).toEqual([5, 6, 900, 901]);
    expect(lostOf(log.entries[2] as LogEntry)).toBeNull();
  });

  it("lets the oldest go beyond its bounds, of events and of text, and says so", () => {
    const few = new EventLog({ entries: 100, chars: Infinity });
    const changes = few.append(run(1, 101), true);
    expect(few.entries.length).toBe(90);
    expect(changes.at(-1)).toEqual({ kind: "dropped", before: 12 });
    expect([few.before, few.newest]).toEqual(["let_go", 101]);
    const short = new EventLog({ entries: 1000, chars: message(1).length * 10 });
    short.append(run(1, 9), true);
    short.append(run(10, 90).map((line) => line), true);
    expect(short.entries.length).toBeLessThanOrEqual(10);
    expect(short.entries.at(-1)?.seq).toBe(90);
  });

  it("puts older ones before, as many as there is room for", () => {
    const log = new EventLog({ entries: 10, chars: Infinity });
    log.startAfter(20);
    expect(log.newest).toBe(20);
    log.append(run(21, 25), true);
    log.prepend(run(18, 22), false);
    expect(numbers(log)).toEqual([18, 19, 20, 21, 22, 23, 24, 25]);
    expect(log.before).toBe("unknown");
    log.prepend(run(11, 17), true);
    expect(numbers(log)).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
    expect(log.before).toBe("let_go");
  });

  it("is not stopped by what is no event", () => {
    const log = new EventLog();
    log.append(["", "null", "{}", "[1]", '{"seq":"1"}', message(3), '{"seq":4,"type":"x","scope":"session","scope_id":"s","at":"t","data":null}'], true);
    expect(numbers(log)).toEqual([3, 4]);
  });
});

describe("words", () => {
  const say = (narrator: Narrator, json: string): string | undefined => entryOf(json, narrator)?.words;

  it("name the command that ended", () => {
    const narrator = new Narrator();
    expect(say(narrator, mark(1, { kind: "command", cursor: "i:1", text: "make all" }))).toBe("Runs: make all");
    expect(say(narrator, mark(2, { kind: "command_end", cursor: "i:2", exit_code: 2, duration_ms: 1500 }))).toBe("Exit code 2 after 1.5 s: make all");
    expect(say(narrator, mark(3, { kind: "command_end", cursor: "i:3", exit_code: 0 }))).toBe("Ended normally: a command");
    expect(say(narrator, mark(4, { kind: "bell", cursor: "i:3", left_out: 7 }))).toBe("Bell (7 marks before it were too many to tell)");
  });

  it("tell from whom to whom control went", () => {
    const narrator = new Narrator();
    const lease = (owner_name: string, owner_kind: string, expired = false): object => ({ epoch: 1, lease: { owner: "c", owner_name, owner_kind, epoch: 1, expires_at: "", expired } });
    expect(say(narrator, message(1, "lease", lease("ann", "web")))).toBe("ann (page) has control");
    expect(say(narrator, message(2, "lease", lease("bot", "agent")))).toBe("Control went from ann (page) to bot (agent)");
    expect(say(narrator, message(3, "lease", lease("bot", "agent", true)))).toBe("The control of bot (agent) ran out: anybody may take it");
    expect(say(narrator, message(4, "lease", { epoch: 2, lease: null }))).toBe("bot (agent) gave up control: it is free");
  });

  it.each([
    ["exit", { code: 3, signal: null, reason: "exited" }, "Ended with exit code 3"],
    ["resize", { cols: 80, rows: 24 }, "The screen is 80 × 24 now"],
    ["limit", { resource: "memory", reached: true, text: "512 MiB: the next page kills" }, "The limit of memory is reached: 512 MiB: the next page kills"],
    ["denied", { act: "write", path: "/etc/passwd", message: "the sandbox refused to write /etc/passwd" }, "the sandbox refused to write /etc/passwd"],
    ["clients", { count: 0, clients: [] }, "Nobody is attached"],
    ["status", { status: "forgotten" }, "The session was forgotten, with its journal"],
    ["settings.changed", { changed: ["agent"], revision: 2 }, "Settings changed: agent"],
    ["approval.requested", { action: "terminal.exec", risk_level: "high" }, "Asks to do terminal.exec (risk: high)"],
    ["approval.resolved", { action: "terminal.exec", status: "denied", decided_by: "ann" }, "terminal.exec: denied by ann"],
    ["never.seen", { a: 1 }, '{"a":1}'],
    ["never.seen", null, "never.seen"],
    ["lease", "nonsense", "Control is free"],
  ])("of %s %j", (type, data, words) => {
    expect(say(new Narrator(), message(1, type, data))).toBe(words);
  });

  it("hide nothing", () => {
    expect(say(new Narrator(), mark(1, { kind: "title", cursor: "i:1", text: "\u2066safe" }))).toBe("Calls itself “\\u{2066}safe”");
    expect([gapText(1), gapText(null)]).toEqual(["1 event is missing here: it is not kept any more", "Events are missing here; nobody knows how many"]);
  });
});

describe("what is shown", () => {
  const all = [
    message(1), mark(2, { kind: "command", cursor: "i:1", text: "make" }), message(3, "status", {}, { scope_id: "ses_2" }), gap(4, 2),
    message(5, "approval.requested", { session_id: "ses_2", action: "git.create_pr" }, { scope: "approval", scope_id: "apr_1" }),
  ];
  const shown = (part: object, open: string | null = null): { rows: number[]; counts: object } => {
    const log = new EventLog();
    log.append(all, false);
    const view = new LogView();
    view.show(log.entries, { ...EVERYTHING, ...part }, open);
    return { rows: view.rows.map(({ seq }) => seq), counts: Object.fromEntries(view.counts) };
  };

  it("is what the filter leaves, and always what is missing", () => {
    expect(shown({}).rows).toEqual([1, 2, 3, 4, 5]);
    expect(shown({ session: "ses_2" }).rows).toEqual([3, 4, 5]);
    expect(shown({ session: THIS }, "ses_1").rows).toEqual([1, 2, 4]);
    expect(shown({ text: "RUNS: Ma" }).rows).toEqual([2, 4]);
    expect(shown({ text: "ses_2" }).rows).toEqual([3, 4, 5]);
    expect(shown({ off: ["life"] })).toEqual({ rows: [2, 4, 5], counts: { life: 2, commands: 1, approvals: 1 } });
  });

  it("is kept up as events come and go", () => {
    const log = new EventLog({ entries: 20, chars: Infinity });
    const view = new LogView();
    const filter = { ...EVERYTHING, text: "make" };
    view.show(log.entries, filter, null);
    const follow = (changes: Change[]): number => changes.reduce((came, change) => came + view.follow(change, log.entries), 0);
    const make = (seq: number): string => mark(seq, { kind: "command", cursor: "i:1", text: "make" });
    expect(follow(log.append([message(10), make(11), message(12), make(13)], true))).toBe(2);
    follow(log.prepend([make(8), message(9)], false));
    expect(view.rows.map(({ seq }) => seq)).toEqual([8, 11, 13]);
    follow(log.append(Array.from({ length: 20 }, (_, at) => make(20 + at)), false));
    const direct = new LogView();
    direct.show(log.entries, filter, null);
    expect(view.rows).toEqual(direct.rows);
    expect([...view.counts]).toEqual([...direct.counts]);
    follow(log.append([gap(3, null), make(4)], true));
    expect(view.rows.map(({ seq }) => seq)).toEqual([3, 4]);
  });

  it("is narrowed only by what narrows", () => {
    expect(isNarrowed(EVERYTHING)).toBe(false);
    expect(isNarrowed({ ...EVERYTHING, text: "  " })).toBe(false);
    expect(isNarrowed({ ...EVERYTHING, off: ["size"] })).toBe(true);
    const entry = entryOf(message(1), new Narrator()) as LogEntry;
    expect([matcher(EVERYTHING, null)(entry), isShown(entry, { ...EVERYTHING, off: ["life"] })]).toEqual([true, false]);
  });
});

describe("rows in sight", () => {
  it("are those around, with one that is taller", () => {
    const plain = new RowWindow(1000, 50, null);
    expect([plain.height, plain.topOf(10), plain.at(0), plain.at(525), plain.at(1e9)]).toEqual([50_000, 500, 0, 10, 999]);
    const open = new RowWindow(1000, 50, { index: 3, extra: 200 });
    expect([open.height, open.topOf(3), open.topOf(4)]).toEqual([50_200, 150, 400]);
    expect([open.at(149), open.at(150), open.at(399), open.at(400), open.at(451)]).toEqual([2, 3, 3, 4, 5]);
    const [from, to] = open.range(10_000, 500);
    expect(from).toBeLessThanOrEqual(open.at(10_000));
    expect(to).toBeGreaterThan(open.at(10_500));
    expect(to - from).toBeLessThan(30);
    expect(new RowWindow(0, 50, null).range(0, 500)).toEqual([0, 0]);
  });

  it("are found by number", () => {
    const rows = [3, 5, 9].map((seq) => ({ seq }));
    expect([0, 3, 4, 9, 10].map((seq) => indexOfSeq(rows, seq))).toEqual([0, 0, 1, 2, 3]);
    expect([seqOf(message(1_795_359_047_818_898)), seqOf('{"type":"x","seq":7}')]).toEqual([1_795_359_047_818_898, 7]);
  });
});

it("a hundred thousand events are read, kept and filtered in a moment", () => {
  const messages = Array.from({ length: 100_000 }, (_, at) => mark(at + 1, { kind: "command", cursor: `i:${at}`, text: `make target ${at}` }));
  const began = performance.now();
  const log = new EventLog();
  for (let at = 0; at < messages.length; at += 4000) log.append(messages.slice(at, at + 4000), at === 0);
  const view = new LogView();
  view.show(log.entries, { ...EVERYTHING, text: "target 9999" }, null);
  expect(log.entries.length).toBe(100_000);
  expect(view.rows.length).toBe(11);
  // A loose bound: what grows with the square of the events takes minutes.
  expect(performance.now() - began).toBeLessThan(5_000);
});
