import { describe, expect, it } from "vitest";
import { connectionText } from "../src/stream/connection";
import { fragmentFor, parseFragment } from "../src/access/fragment";
import { fontFor, roomFor } from "../src/terminal/layout";
import { agoText, bytesText, exitText, limitsLine, sandboxLine } from "../src/ui/words";

describe("the address", () => {
  const CASES = [
    ["#code=abc", { code: "abc" }],
    ["#session=ses_1", { session: "ses_1" }],
    ["#code=abc&session=ses_1", { code: "abc", session: "ses_1" }],
    ["#session=ses_1&code=a%2Bb", { code: "a+b", session: "ses_1" }],
    ["#share=abc&session=ses_1", { share: "abc", session: "ses_1" }],
    ["", {}],
    ["#", {}],
    ["#code=", {}],
    ["#share=", {}],
    ["#elsewhere", {}],
  ] as const;
  const NOTHING = { code: null, share: null, session: null };
  for (const [hash, found] of CASES) it(JSON.stringify(hash), () => expect(parseFragment(hash)).toEqual({ ...NOTHING, ...found }));

  it("never keeps a code", () => {
    expect(fragmentFor("ses_1")).toBe("#session=ses_1");
    expect(fragmentFor(null)).toBe("");
  });
});

describe("the connection in words", () => {
  it("counts down to the next attempt", () => {
    expect(connectionText({ state: "reconnecting", attempt: 3, retry_at: 5_000 }, 3_100)).toBe("Reconnecting… attempt 3, next in 2 s");
    expect(connectionText({ state: "reconnecting", attempt: 3, retry_at: null }, 0)).toBe("Reconnecting… attempt 3");
    expect(connectionText({ state: "offline", attempt: 9, retry_at: 1_000, reason: "Bridge not reachable" }, 9_000)).toBe("Bridge not reachable, trying again in 0 s");
  });
  it("says who took the place, and when signed out", () => {
    expect(connectionText({ state: "replaced" }, 0)).toBe("Another tab took this client's place");
    expect(connectionText({ state: "signed_out" }, 0)).toBe("Signed out");
  });
});

describe("sizes", () => {
  const cell = { width: 8, height: 16 };
  it("room is whole cells beside the scroll bar; none while hidden", () => {
    expect(roomFor({ width: 652, height: 400 }, cell)).toEqual({ cols: 80, rows: 25 });
    expect(roomFor({ width: 0, height: 0 }, cell)).toBeNull();
  });
  it("an observer's font shrinks until the session fits, but stays readable", () => {
    expect(fontFor({ width: 652, height: 400 }, { cols: 80, rows: 25 }, cell, 14)).toBe(14);
    expect(fontFor({ width: 652, height: 400 }, { cols: 100, rows: 25 }, cell, 14)).toBe(11);
    expect(fontFor({ width: 300, height: 400 }, { cols: 200, rows: 60 }, cell, 14)).toBe(8);
  });
});

describe("words", () => {
  it("for how a program ended", () => {
    expect(exitText({ code: 0, signal: null, reason: "exited" })).toBe("Ended normally");
    expect(exitText({ code: 3, signal: null, reason: "exited" })).toBe("Ended with exit code 3");
    expect(exitText({ code: null, signal: 9, reason: "limit" })).toBe("Ended by SIGKILL (limit)");
    expect(exitText({ code: null, signal: null, reason: "status_unknown" })).toBe("Ended; its exit code is not known (status unknown)");
  });
  it("for how a session is confined, and what of it is missing", () => {
    const grants = [{ root_path: "/srv/p" }];
    const whole = [{ name: "landlock", status: "enforced", abi: 7 } as const, { name: "network", status: "enforced" } as const];
    expect(sandboxLine({ sandbox: { profile: "host", layers: [] } })).toBeNull();
    expect(sandboxLine({ sandbox: { profile: "workspace", layers: whole }, grants })).toEqual({ text: "Confined (workspace): /srv/p, no network", missing: null });
    const hosts = [{ name: "network", status: "enforced", detail: "its own, and through Baton's proxy: crates.io" } as const];
    expect(sandboxLine({ sandbox: { profile: "workspace", layers: hosts }, grants })?.text).toBe("Confined (workspace): /srv/p, network its own, and through Baton's proxy: crates.io");
    const open = [{ name: "network", status: "absent", detail: "it reaches what you reach" } as const];
    expect(sandboxLine({ sandbox: { profile: "locked", layers: open } })).toEqual({ text: "Confined (locked): no folder of yours", missing: "network is missing (it reaches what you reach)" });
  });
  it("for the limits of a session, and those that do not hold", () => {
    expect(limitsLine({})).toBeNull();
    expect(limitsLine({ limits: { layers: [] } })).toBeNull();
    const memory = { name: "memory_bytes", status: "enforced" } as const;
    expect(limitsLine({ limits: { memory_bytes: 2 * 1024 ** 3, processes: 512, wall_s: 90, layers: [memory] } })).toEqual({ text: "Limits: memory 2.0 GiB, 512 processes, time 1 min 30 s", missing: null, detail: null });
    const absent = { name: "cpu_weight", status: "absent", detail: "no cgroup is delegated" } as const;
    const partial = { name: "disk_bytes", status: "partial" } as const;
    expect(limitsLine({ limits: { cpu_weight: 50, open_files: 256, disk_bytes: 1024 ** 2, layers: [absent, partial] } }))
      .toEqual({ text: "Limits: CPU weight 50, 256 open files, disk 1.0 MiB", missing: "limit: cpu weight is missing (no cgroup is delegated)", detail: "cpu weight is missing (no cgroup is delegated); disk bytes holds in part" });
  });
  it("for amounts and times", () => {
    expect([1, 512, 2048, 5 * 1024 * 1024, 3 * 1024 ** 3].map(bytesText)).toEqual(["1 byte", "512 bytes", "2.0 KiB", "5.0 MiB", "3.0 GiB"]);
    const now = Date.parse("2026-01-10T12:00:00.000Z");
    expect(["2026-01-10T11:59:40.000Z", "2026-01-10T11:30:00.000Z", "2026-01-10T02:00:00.000Z", "2026-01-09T11:00:00.000Z", "x"].map((time) => agoText(time, now)))
      .toEqual(["just now", "30 min ago", "10 h ago", "yesterday", ""]);
  });
});
