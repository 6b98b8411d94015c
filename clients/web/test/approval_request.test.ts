import { describe, expect, it } from "vitest";
import type { BoundTo } from "../src/api/approvals";
import { boundChanges, changesBetween } from "../src/approvals/changes";
import { commandLine, deedOf, draftOf, payloadWith, written } from "../src/approvals/payload";
import { leftText, leftWords, outcomeText } from "../src/approvals/words";
import { approval, EXEC } from "./approval_sample";

describe("what would be done", () => {
  it("is read off the payload, whatever somebody put into it", () => {
    expect(deedOf("terminal.exec", EXEC)).toEqual({ kind: "command", line: "rm -rf tree" });
    expect(deedOf("terminal.input", { data_b64: btoa("ls\r"), shown: "harmless" })).toEqual({ kind: "typed", text: "ls\\r" });
    expect(deedOf("terminal.input", { secret: true, digest: "ab", bytes: 12 })).toEqual({ kind: "secret", bytes: 12 });
    expect(deedOf("lease.take", { force: true })).toEqual({ kind: "control", force: true });
    expect(deedOf("browser.navigate", { url: "https://example.com/" })).toEqual({ kind: "page", url: "https://example.com/" });
    expect(deedOf("file.write", { path: "a", old_text: "x", new_text: "y" })).toEqual({ kind: "file", path: "a", before: "x", after: "y" });
    for (const odd of [null, 7, "text", [], {}, { command: 7 }, { data_b64: "%" }]) {
      expect(deedOf("terminal.exec", odd).kind).toBe("other");
      expect(deedOf("terminal.input", odd).kind).toBe("other");
    }
    expect(deedOf("connector.call", { x: 1 })).toEqual({ kind: "other" });
  });

  it("of a new session names what it is to have", () => {
    const payload = { command: ["git", "commit", "-m", "it's done"], sandbox: "host", env: { LD_PRELOAD: "x.so" }, grants: [{ root_path: "/work", allow_write: true }], allow_hosts: ["example.com:443"] };
    expect(deedOf("session.unsandboxed", payload)).toEqual({
      kind: "program",
      words: payload.command,
      wants: [["Confined", "no: it may do what you may"], ["Folder", "/work (read, change)"], ["Network", "example.com:443"], ["Environment", "LD_PRELOAD=x.so"]],
    });
    expect(commandLine(payload.command)).toBe("git commit -m 'it'\\''s done'");
  });

  it("is written down whole, in an order that does not change", () => {
    expect(written({ b: [{ d: 1, c: 2 }], a: null })).toBe(written({ a: null, b: [{ c: 2, d: 1 }] }));
    expect(JSON.parse(written(EXEC))).toEqual(EXEC);
  });
});

describe("an edit", () => {
  it("changes what is done and nothing else of the payload", () => {
    const draft = draftOf(approval());
    expect(draft).toEqual({ kind: "line", text: "rm -rf tree" });
    expect(payloadWith({ kind: "line", text: "ls tree" }, EXEC)).toEqual({ ...EXEC, command: "ls tree" });
    const typed = { session_id: "ses_1", client_id: "agent:fixer", data_b64: btoa("ls\r"), shown: "ls\\r" };
    expect(draftOf({ action: "terminal.input", payload: typed })).toEqual({ kind: "typed", text: "ls\\r" });
    expect(payloadWith({ kind: "typed", text: "pwd\\r" }, typed)).toEqual({ session_id: "ses_1", client_id: "agent:fixer", data_b64: btoa("pwd\r") });
    expect(payloadWith({ kind: "json", text: '{"a":1}' }, {})).toEqual({ a: 1 });
  });

  it("says what is wrong with it", () => {
    expect(() => payloadWith({ kind: "line", text: " \n" }, EXEC)).toThrow(/deny it instead/);
    expect(() => payloadWith({ kind: "json", text: "{" }, {})).toThrow(/no JSON/);
    expect(() => payloadWith({ kind: "typed", text: "\\" }, {})).toThrow(/means nothing/);
  });

  it("is not offered where there is nothing to edit", () => {
    expect(draftOf({ action: "lease.take", payload: { force: false } })).toBeNull();
    expect(draftOf({ action: "terminal.input", payload: { secret: true, bytes: 3 } })).toBeNull();
  });
});

describe("what changed between two requests", () => {
  const thing = (kind: BoundTo["kind"], name: string, state: string | null, leads_to?: string): BoundTo => ({ kind, name, state, ...(leads_to ? { leads_to } : {}) });

  it("names each thing that a request tells", () => {
    expect(changesBetween(approval(), approval())).toEqual([]);
    const after = approval({ payload: { ...EXEC, command: "rm -rf /" }, cwd: "/", risk_level: "critical", lease_epoch: 3 });
    expect(changesBetween(approval({ lease_epoch: 2 }), after).map(({ what, after: now }) => [what, now])).toEqual([
      ["Command", "rm -rf /"],
      ["Directory", "/"],
      ["Risk", "critical, delete"],
      ["Control", "handed on 3 times"],
    ]);
  });

  it("names what it is bound to besides", () => {
    const before = [thing("program", "/bin/sh", "1"), thing("file", "/w/a", "1"), thing("file", "/w/link", "1", "/w/a"), thing("policy", "", "1"), thing("file", "/w/gone", "1"), thing("file", "/w/out", null)];
    const after = [thing("program", "/bin/sh", "1"), thing("file", "/w/a", "2"), thing("file", "/w/link", "2", "/w/b"), thing("policy", "", "2"), thing("file", "/w/out", "1"), thing("file", "/w/new", "1")];
    expect(boundChanges({ payload: EXEC, bound_to: before }, { payload: EXEC, bound_to: after })).toEqual([
      "The file /w/a was changed or replaced since",
      "The file /w/link leads to /w/b now, and led to /w/a",
      "The policy was changed",
      "The file /w/gone is gone",
      "The file /w/out was made since",
      "The file /w/new was made since",
    ]);
    expect(boundChanges({ payload: EXEC, bound_to: after }, { payload: EXEC, bound_to: after })).toEqual([]);
    // Something else names other things: that is told as the change it is.
    expect(boundChanges({ payload: EXEC, bound_to: before }, { payload: { ...EXEC, command: "ls" }, bound_to: after })).toEqual([]);
    // From a bridge that tells nothing, nothing is made up.
    expect(boundChanges({ payload: EXEC }, { payload: EXEC, bound_to: after })).toEqual([]);
  });
});

describe("words", () => {
  it("time left, for eyes and for ears", () => {
    expect([900_000, 61_900, 9_000, 0, -5].map(leftText)).toEqual(["15:00", "1:01", "0:09", "now", "now"]);
    expect([900_000, 70_000, 59_000, 14_000, 0, 7_300_000].map(leftWords)).toEqual(["about 15 minutes left", "about a minute left", "less than a minute left", "less than 15 seconds left", "its time is over", "about 2 hours left"]);
    // Ears hear few of them.
    const heard = new Set(Array.from({ length: 900 }, (_, second) => leftWords(second * 1000)));
    expect(heard.size).toBeLessThan(20);
  });

  it("what became of it, with who decided", () => {
    const decided = { decision: "approve" as const, decided_by: "Ada" };
    expect(outcomeText(approval({ ...decided, status: "executed", result: { exit_code: 0 } }))).toBe("Ada approved it. It was run: exit code 0.");
    expect(outcomeText(approval({ ...decided, status: "executed", result: { exit_code: 3 } }))).toContain("failed: exit code 3");
    expect(outcomeText(approval({ ...decided, decision: "edit", status: "failed", result: { code: "busy", detail: "the shell is busy" } }))).toBe("Ada changed it and approved that, and it could not be done: the shell is busy");
    expect(outcomeText(approval({ status: "expired" }))).toContain("which is a no");
    expect(outcomeText(approval({ status: "void", superseded_by: "apr_2" }))).toContain("asked again");
    expect(outcomeText(approval({ status: "void" }))).toContain("not asked again");
  });
});
