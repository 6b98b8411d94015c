import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Approval, DecisionRequest } from "../src/api/approvals";
import { Refused, Unreachable } from "../src/api/requests";
import { Alerts, type Surroundings } from "../src/approvals/alerts";
import { Inbox } from "../src/approvals/inbox";
import { approval } from "./approval_sample";

/** A bridge's approvals: what the routes answer is what is in the map. */
class Bridge {
  readonly all = new Map<string, Approval>();
  readonly decisions: { id: string; request: DecisionRequest; key: string }[] = [];
  readonly reads: string[] = [];
  readonly arrived: Approval[] = [];
  down: Error | null = null;
  /** What a decision waits for, and what refuses it. */
  gate: Promise<void> = Promise.resolve();
  refuse: Error | null = null;

  readonly inbox = new Inbox(
    {
      pending: async () => {
        this.#up("pending");
        return { items: [...this.all.values()].filter(({ status }) => status === "pending"), more: false, ahead: 0 };
      },
      page: async (cursor) => {
        this.#up(`page ${cursor}`);
        const newest = [...this.all.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).filter(({ id }) => !cursor || id < cursor);
        return { items: newest.slice(0, 2), next: newest.length > 2 ? (newest[1]?.id ?? null) : null };
      },
      one: async (id) => {
        this.#up(id);
        const found = this.all.get(id);
        if (!found) throw new Refused(404, "not_found", "there is no such approval");
        return found;
      },
      decide: async (id, request, key) => {
        this.decisions.push({ id, request, key });
        await this.gate;
        if (this.refuse) throw this.refuse;
        return this.put({ id, status: "approved", decision: request.decision, decided_by: "Ada" });
      },
    },
    (asked) => this.arrived.push(...asked),
  );

  put(more: Partial<Approval> & { id: string }): Approval {
    const whole = approval({ ...this.all.get(more.id), ...more });
    this.all.set(more.id, whole);
    return whole;
  }

  /** Something happened to it, and the page is told. */
  tell(more: Partial<Approval> & { id: string }): void {
    this.put(more);
    this.inbox.event({ type: "approval.requested", scope_id: more.id, data: { approval_id: more.id } });
  }

  #up(what: string): void {
    this.reads.push(what);
    if (this.down) throw this.down;
  }
}

const ids = (items: readonly Approval[]): string[] => items.map(({ id }) => id);
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

async function opened(...waiting: (Partial<Approval> & { id: string })[]): Promise<Bridge> {
  const bridge = new Bridge();
  for (const one of waiting) bridge.put(one);
  bridge.inbox.missed();
  await settled();
  return bridge;
}

describe("the inbox", () => {
  it("has those first that run out first", async () => {
    const { inbox } = await opened({ id: "a1", expires_at: "2026-01-01T00:20:00Z" }, { id: "a2", expires_at: "2026-01-01T00:10:00Z" });
    expect(ids(inbox.pending.value)).toEqual(["a2", "a1"]);
  });

  it("nothing is new that was there when the page came, or was seen before", async () => {
    const bridge = await opened({ id: "a1" });
    expect(bridge.arrived).toEqual([]);
    bridge.tell({ id: "a2" });
    await settled();
    bridge.tell({ id: "a2" });
    bridge.inbox.missed();
    await settled();
    expect(ids(bridge.arrived)).toEqual(["a2"]);
  });

  it("an event while it is being read has it read again", async () => {
    const bridge = await opened();
    bridge.tell({ id: "a1", status: "executing" });
    bridge.tell({ id: "a1", status: "executed" });
    await settled();
    expect(bridge.inbox.byId("a1")?.status).toBe("executed");
  });

  it("an older answer never takes a newer one back", async () => {
    const bridge = await opened({ id: "a1" });
    bridge.tell({ id: "a1", status: "denied" });
    await settled();
    bridge.tell({ id: "a1", status: "pending" });
    await settled();
    expect(bridge.inbox.byId("a1")?.status).toBe("denied");
    expect(bridge.inbox.pending.value).toEqual([]);
  });

  it("what was decided while nobody listened is found out", async () => {
    const bridge = await opened({ id: "a1" }, { id: "a2" });
    bridge.put({ id: "a1", status: "expired" });
    bridge.put({ id: "a3" });
    bridge.all.delete("a2");
    bridge.inbox.missed();
    await settled();
    expect(ids(bridge.inbox.pending.value)).toEqual(["a3"]);
    expect(bridge.inbox.byId("a1")?.status).toBe("expired");
    expect(bridge.inbox.byId("a2")).toBeNull();
    expect(ids(bridge.arrived)).toEqual(["a3"]);
  });

  it("goes on trying while the bridge is away, and says so", async () => {
    vi.useFakeTimers();
    try {
      const bridge = new Bridge();
      bridge.put({ id: "a1" });
      bridge.down = new Unreachable("The bridge does not answer.");
      bridge.inbox.missed();
      await vi.advanceTimersByTimeAsync(0);
      expect(bridge.inbox.trouble.value).toContain("does not answer");
      expect(bridge.inbox.isRead.value).toBe(false);
      bridge.down = null;
      await vi.advanceTimersByTimeAsync(3_000);
      expect(bridge.inbox.trouble.value).toBeNull();
      expect(ids(bridge.inbox.pending.value)).toEqual(["a1"]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("many events at once are one read of the list", async () => {
    const bridge = await opened();
    bridge.reads.length = 0;
    for (let count = 0; count < 60; count++) bridge.tell({ id: `a${count}` });
    await settled();
    expect(bridge.inbox.pending.value).toHaveLength(60);
    expect(bridge.reads.length).toBeLessThan(5);
  });

  it("one that can't be read does not hold up the others", async () => {
    const bridge = await opened();
    bridge.inbox.event({ type: "approval.resolved", data: { approval_id: "none" } });
    bridge.tell({ id: "a1" });
    await settled();
    expect(ids(bridge.inbox.pending.value)).toEqual(["a1"]);
    bridge.reads.length = 0;
    bridge.inbox.want("none");
    await settled();
    expect(bridge.reads).toEqual([]);
  });

  it("older ones come page by page", async () => {
    const bridge = await opened();
    for (const id of ["a1", "a2", "a3", "a4", "a5"]) bridge.put({ id, status: "denied" });
    await bridge.inbox.readOlder();
    expect(ids(bridge.inbox.decided.value)).toEqual(["a5", "a4"]);
    await bridge.inbox.readOlder();
    await bridge.inbox.readOlder();
    expect(ids(bridge.inbox.decided.value)).toEqual(["a5", "a4", "a3", "a2", "a1"]);
    expect(bridge.inbox.older.value).toBeNull();
  });

  it("keeps nothing of whoever was signed in before", async () => {
    const bridge = await opened({ id: "a1" });
    bridge.tell({ id: "a2" });
    bridge.inbox.clear();
    await settled();
    expect(bridge.inbox.pending.value).toEqual([]);
    expect(bridge.inbox.isRead.value).toBe(false);
    bridge.inbox.missed();
    await settled();
    expect(ids(bridge.inbox.pending.value)).toEqual(["a1", "a2"]);
  });
});

describe("a decision", () => {
  it("quotes what was shown, and is one while it is under way", async () => {
    const bridge = await opened({ id: "a1", context_hash: "shown" });
    const shown = bridge.inbox.byId("a1");
    if (!shown) throw new Error("it is there");
    let open = (): void => undefined;
    bridge.gate = new Promise((resolve) => (open = resolve));
    bridge.put({ id: "a1", context_hash: "another" });
    const first = bridge.inbox.decide(shown, { decision: "approve", remember: "once" });
    void bridge.inbox.decide(shown, { decision: "approve", remember: "once" });
    void bridge.inbox.decide(shown, { decision: "deny" });
    expect(bridge.inbox.deciding.value.get("a1")).toBe("approve");
    open();
    await first;
    expect(bridge.decisions).toHaveLength(1);
    expect(bridge.decisions[0]?.request).toEqual({ decision: "approve", remember: "once", context_hash: "shown" });
    expect(bridge.inbox.deciding.value.size).toBe(0);
    expect(bridge.inbox.byId("a1")?.status).toBe("approved");
  });

  it("that was refused is told, and the request read anew with the one in its place", async () => {
    const bridge = await opened({ id: "a1" });
    const shown = bridge.inbox.byId("a1");
    if (!shown) throw new Error("it is there");
    bridge.put({ id: "a1", status: "void", superseded_by: "a2" });
    bridge.put({ id: "a2", supersedes: "a1" });
    bridge.refuse = new Refused(409, "context_changed", "what was shown is no longer so");
    await bridge.inbox.decide(shown, { decision: "approve" });
    await settled();
    expect(bridge.inbox.failures.value.get("a1")?.code).toBe("context_changed");
    expect(bridge.inbox.byId("a1")?.superseded_by).toBe("a2");
  });

  it("whose answer was lost is the same attempt again; another word is another", async () => {
    const bridge = await opened({ id: "a1" });
    const shown = bridge.inbox.byId("a1");
    if (!shown) throw new Error("it is there");
    bridge.refuse = new Unreachable("The bridge does not answer.");
    await bridge.inbox.decide(shown, { decision: "approve" });
    await bridge.inbox.decide(shown, { decision: "approve" });
    await bridge.inbox.decide(shown, { decision: "deny" });
    const [first, second, third] = bridge.decisions.map(({ key }) => key);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(bridge.inbox.failures.value.get("a1")?.text).toContain("not known");
    // Refused in so many words: the next is a new attempt.
    bridge.refuse = new Refused(403, "denied", "nobody shreds here");
    await bridge.inbox.decide(shown, { decision: "deny" });
    await bridge.inbox.decide(shown, { decision: "deny" });
    const [last, next] = bridge.decisions.slice(-2).map(({ key }) => key);
    expect(last).toBe(third);
    expect(next).not.toBe(last);
  });
});

describe("alerts", () => {
  beforeAll(() => {
    const kept = new Map<string, string>();
    vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) });
    return () => void vi.unstubAllGlobals();
  });

  function alerts(isAway: boolean): { heard: string[]; alerts: Alerts } {
    const heard: string[] = [];
    const around: Surroundings = { isAway: () => isAway, chime: () => heard.push("chime"), notify: (title, body) => heard.push(`${title} | ${body}`) };
    return { heard, alerts: new Alerts(around, () => undefined) };
  }

  it("are off until wanted, and for who looks elsewhere", () => {
    const off = alerts(true);
    off.alerts.arrived([approval()]);
    expect(off.heard).toEqual([]);
    off.alerts.change({ sound: true, notify: true });
    // Remembered for the next visit.
    expect(alerts(true).alerts.settings.value).toEqual({ sound: true, notify: true });
    const here = alerts(false);
    here.alerts.change({ sound: true, notify: true });
    here.alerts.arrived([approval()]);
    expect(here.heard).toEqual([]);
  });

  it("name what is asked for, never what it holds; many are one", () => {
    const away = alerts(true);
    away.alerts.change({ sound: true, notify: true });
    const secret = approval({ payload: { command: "login --password hunter2" }, reason: "hunter2", requested_by_name: "a\u{202e}b" });
    away.alerts.arrived([secret]);
    away.alerts.arrived([secret, secret]);
    expect(away.heard).toEqual(["chime", "An agent asks for approval | a\\u{202e}b asks to run a command. High risk.", "2 requests wait for approval | a\\u{202e}b asks to run a command. High risk."]);
    expect(away.heard.join()).not.toContain("hunter2");
  });
});
