import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditQuery } from "../src/api/audit";
import type { AuditRow, AuditVerification } from "../src/api/protocol";
import { Refused } from "../src/api/requests";
import { Audit, withMissing } from "../src/audit/audit";
import { actionText, actorText, decisionOf, outcomeText } from "../src/audit/words";

const row = (seq: number, more: Partial<AuditRow> = {}): AuditRow => ({
  seq, at: "2026-01-10T12:00:00.000Z", at_us: 0, actor: { id: "p", name: "ann", kind: "owner" }, action: "login", subject: null, outcome: "allowed", code: null, details: {}, prev_hash: "", hash: "", ...more,
});

/** A bridge with rows from 1 to `count`. */
function fake(count: number, verification: Partial<AuditVerification> = {}): { audit: Audit; asked: AuditQuery[]; heads: (string | null)[]; refuse: (error: Error | null) => void } {
  const heads: (string | null)[] = [];
  const asked: AuditQuery[] = [];
  let refusal: Error | null = null;
  const audit = new Audit({
    page: (query) => {
      asked.push(query);
      if (refusal) return Promise.reject(refusal);
      const all = Array.from({ length: count }, (_, at) => row(at + 1));
      const ordered = query.order === "newest" ? all.reverse() : all;
      const behind = ordered.filter(({ seq }) => query.cursor === null || (query.order === "newest" ? seq < query.cursor : seq > query.cursor));
      const items = behind.slice(0, query.limit);
      return Promise.resolve({ items, next_cursor: behind.length > items.length ? String(items.at(-1)?.seq) : null });
    },
    verify: (expected) => {
      heads.push(expected);
      return Promise.resolve({ ok: true, rows: count, sealed: 0, lost: 0, head: null, compared: null, broken: null, ...verification });
    },
  });
  return { audit, asked, heads, refuse: (error) => (refusal = error) };
}

const stored = new Map<string, string>();
beforeEach(() => {
  stored.clear();
  vi.stubGlobal("localStorage", { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, value: string) => stored.set(key, value) });
});
afterEach(() => void vi.unstubAllGlobals());

const settled = (): Promise<void> => new Promise((resume) => setTimeout(resume));
const ends = ({ rows }: Audit): (number | undefined)[] => [rows.peek()?.[0]?.seq, rows.peek()?.at(-1)?.seq];

describe("pages of the audit log", () => {
  it("go both ways, and end with a full one", async () => {
    const { audit } = fake(120);
    audit.newest();
    await settled();
    expect([ends(audit), audit.hasOlder.peek(), audit.hasNewer.peek()]).toEqual([[120, 71], true, false]);
    audit.older();
    await settled();
    audit.older();
    await settled();
    expect([ends(audit), audit.hasOlder.peek(), audit.hasNewer.peek()]).toEqual([[20, 1], false, true]);
    audit.newer();
    await settled();
    expect([ends(audit), audit.hasNewer.peek()]).toEqual([[70, 21], true]);
    audit.newer();
    await settled();
    await settled();
    expect([ends(audit), audit.hasNewer.peek()]).toEqual([[120, 71], false]);
  });

  it("ask for what is chosen, and tell who may not read", async () => {
    const { audit, asked, refuse } = fake(3);
    audit.choose({ action: "login" });
    audit.choose({ session: "ses_1" });
    await settled();
    expect(asked.at(-1)).toMatchObject({ action: "login", session: "ses_1", actor: null, cursor: null, order: "newest" });
    refuse(new Refused(403, "forbidden", "this needs admin"));
    audit.newest();
    await settled();
    expect([audit.refused.peek(), audit.error.peek()]).toEqual(["this needs admin", null]);
    audit.forget();
    expect([audit.rows.peek(), audit.refused.peek()]).toEqual([null, null]);
  });

  it("show the row that the check names, with its neighbours", async () => {
    const { audit } = fake(200, { ok: false, rows: 99, broken: { seq: 100, why: "hash_mismatch", detail: "row 100 was changed" } });
    audit.choose({ action: "login" });
    await settled();
    await audit.verify();
    await settled();
    expect([audit.broken, audit.filter.peek().action, audit.expanded.peek()]).toEqual([100, null, 100]);
    expect([ends(audit), audit.hasNewer.peek()]).toEqual([[124, 75], true]);
    audit.around(190);
    await settled();
    expect([ends(audit), audit.hasNewer.peek()]).toEqual([[200, 151], false]);
  });

  it("compare with the head that was whole the last time, until it is said to be of another log", async () => {
    const head = `7:${"0a".repeat(32)}`;
    const whole = fake(7, { head });
    await whole.audit.verify();
    await whole.audit.verify();
    expect(whole.heads).toEqual([null, head]);
    const broken = fake(3, { ok: false, head: null, broken: { seq: 7, why: "not_as_expected", detail: "" } });
    await broken.audit.verify();
    broken.audit.forgetHead();
    await settled();
    expect(broken.heads).toEqual([head, null]);
    stored.set("baton.audit.head", "nonsense");
    expect(broken.audit.knownHead).toBeNull();
  });

  it("have a place for a row that is gone", () => {
    const numbers = (rows: ReturnType<typeof withMissing>): string[] => rows.map((item) => ("missing" in item ? `(${item.missing})` : String(item.seq)));
    expect(numbers(withMissing([row(9), row(8), row(6)], 7))).toEqual(["9", "8", "(7)", "6"]);
    expect(numbers(withMissing([row(3), row(2)], 1))).toEqual(["3", "2", "(1)"]);
    expect(numbers(withMissing([row(3), row(2)], 4))).toEqual(["(4)", "3", "2"]);
    expect(numbers(withMissing([row(3), row(2)], 3))).toEqual(["3", "2"]);
    expect(numbers(withMissing([row(30), row(29)], 7)), "on another page").toEqual(["30", "29"]);
    expect(numbers(withMissing([row(30), row(29)], 70)), "on another page").toEqual(["30", "29"]);
    expect(numbers(withMissing([row(3)], null))).toEqual(["3"]);
  });
});

describe("rows in words", () => {
  it("say what, who, how and what was decided", () => {
    expect(actionText(row(1, { action: "session.create" }))).toBe("Create a session");
    expect(actionText(row(1, { action: "not.known" }))).toBe("not.known");
    expect(actionText(row(1, { action: "gap", details: { lost: 3 } }))).toBe("3 rows could not be written");
    const decided = row(1, { action: "decision", details: { action: "terminal.exec", status: "outcome_unknown" } });
    expect([actionText(decided), decisionOf(decided)]).toEqual(["Decide on terminal.exec: outcome unknown", "outcome unknown"]);
    const denied = row(1, { action: "decision", outcome: "denied", code: "denied", details: { action: "git.create_pr", rules: ["no-pr"] } });
    expect([actionText(denied), decisionOf(denied), outcomeText(denied)]).toEqual(["Decide on git.create_pr: denied by the policy", "denied by no-pr", "Denied"]);
    expect(actorText(row(1))).toBe("ann (owner)");
    expect(actorText(row(1, { actor: { id: "p", name: "\u202eann", kind: "agent" } }))).toBe("\\u{202e}ann (agent)");
    expect(actorText(row(1, { actor: { id: "nobody", name: "", kind: "nobody" } }))).toBe("Nobody known");
    expect(decisionOf(row(1))).toBeNull();
  });
});
