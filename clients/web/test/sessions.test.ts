import { describe, expect, it } from "vitest";
import type { Session, SessionDetail } from "../src/api/protocol";
import { commandText } from "../src/sessions/command";
import { EMPTY_FORM, labelsFrom, requestFrom } from "../src/sessions/create_request";
import { shortFolder } from "../src/sessions/folder";
import { belongs, byLifeThenAge, matches } from "../src/sessions/order";
import { blocksOf, type ScreenRun } from "../src/sessions/picture";
import { PALETTES } from "../src/settings/palettes";

const session = (more: Partial<Session>): Session => ({
  id: "ses_1", title: "t", status: "running", command: ["bash"], labels: {}, created_at: "2026-01-10T12:00:00Z",
  sandbox: { profile: "host", layers: [] }, lease: null, parked: false, terminal_title: null,
  ...more,
} as Session);

describe("the list", () => {
  it("has the living first, then the newest, and does not move a row for its output", () => {
    const rows = [
      session({ id: "old" }),
      session({ id: "ended", status: "exited", created_at: "2026-01-10T14:00:00Z" }),
      session({ id: "new", created_at: "2026-01-10T13:00:00Z", last_activity_at: "2020-01-01T00:00:00Z" }),
    ];
    expect(rows.sort(byLifeThenAge).map(({ id }) => id)).toEqual(["new", "old", "ended"]);
  });

  it("is found by name, folder, command, label, owner and status, word by word", () => {
    const row = session({ title: "Web build", labels: { ticket: "42", docs: "" }, lease: { owner_name: "mira" } as NonNullable<Session["lease"]> });
    const detail = { cwd: "/home/me/src/app", foreground: { pid: 1, command: "npm run watch" } } as unknown as SessionDetail;
    for (const filter of ["", "WEB", "src/app", "npm", "ticket=42", "docs", "mira", "running", "web npm mira"]) expect(matches(row, detail, filter), filter).toBe(true);
    for (const filter of ["webb", "npm zzz", "docs="]) expect(matches(row, detail, filter), filter).toBe(false);
  });

  it("shows those that live, have ended, or need somebody", () => {
    const ended = session({ status: "lost" });
    expect([belongs(ended, "all", false), belongs(ended, "living", true), belongs(ended, "ended", false), belongs(ended, "needs", false), belongs(ended, "needs", true)]).toEqual([true, false, true, false, true]);
  });
});

describe("folders and commands", () => {
  it("are short, and still tell where", () => {
    expect(shortFolder("/home/mira/src", 30)).toBe("~/src");
    expect(shortFolder("/root", 30)).toBe("~");
    expect(shortFolder("/rooted", 30)).toBe("/rooted");
    expect(shortFolder("/home/mira/projects/baton/clients/web/src", 24)).toBe("~/…/clients/web/src");
    expect(shortFolder("/usr/share/doc/packages/something", 20)).toBe("…/something");
    expect(shortFolder(`/tmp/${"x".repeat(50)}`, 20)).toHaveLength(20);
    expect(commandText("/bin/sh -c make test")).toBe("make test");
    expect(commandText("bash --norc")).toBe("bash --norc");
    expect(commandText("")).toBe("login shell");
  });
});

describe("a new session", () => {
  it("is asked for with what the form says", () => {
    expect(requestFrom(EMPTY_FORM)).toEqual({});
    expect(requestFrom({ ...EMPTY_FORM, title: " a ", command: "make", cwd: "/src", sandbox: "workspace", hosts: "a.example, b.example", labels: "ticket=4=2, docs", limits: { ...EMPTY_FORM.limits, memory: "64", minutes: "2" } })).toEqual({
      title: "a", command: ["sh", "-c", "make"], cwd: "/src", sandbox: "workspace", allow_hosts: ["a.example", "b.example"],
      labels: { ticket: "4=2", docs: "" }, limits: { memory_bytes: 64 * 2 ** 20, wall_s: 120 },
    });
  });

  it("says what is wrong with it", () => {
    expect(labelsFrom("=x")).toMatch(/needs a name/);
    expect(requestFrom({ ...EMPTY_FORM, limits: { ...EMPTY_FORM.limits, memory: "8" } })).toMatch(/from 16 to/);
    expect(requestFrom({ ...EMPTY_FORM, limits: { ...EMPTY_FORM.limits, processes: "many" } })).toMatch(/“many” is not/);
    expect(requestFrom({ ...EMPTY_FORM, hosts: "a.example" })).toMatch(/confined/);
  });
});

describe("a small picture", () => {
  const theme = PALETTES.baton.dark;
  const blocks = (...runs: ScreenRun[]) => blocksOf({ cols: 80, rows: 24, lines: [{ runs }] }, theme);

  it("has a block for each word, in its colour and at its place", () => {
    expect(blocks({ text: "ab  c", fg: 1 })).toEqual([
      { row: 0, col: 0, cells: 2, colour: theme.red, ink: true, dim: false },
      { row: 0, col: 4, cells: 1, colour: theme.red, ink: true, dim: false },
    ]);
    expect(blocks({ text: "x" }, { text: "日本", width: 2 }, { text: "y", fg: "#010203", dim: true })).toMatchObject([
      { col: 0, cells: 1, colour: theme.foreground }, { col: 1, cells: 4 }, { col: 5, cells: 1, colour: "#010203", dim: true },
    ]);
  });

  it("has grounds below what is written, turns colours around and hides what is hidden", () => {
    expect(blocks({ text: "a", bg: 4 })).toMatchObject([{ ink: false, colour: theme.blue }, { ink: true, colour: theme.foreground }]);
    expect(blocks({ text: "a", inverse: true })).toMatchObject([{ ink: false, colour: theme.foreground }, { ink: true, colour: theme.background }]);
    expect(blocks({ text: "secret", hidden: true })).toEqual([]);
  });

  it("knows the palette of 256, and takes no colour that is none", () => {
    expect(blocks({ text: "a", fg: 196 })[0]?.colour).toBe("rgb(255 0 0)");
    expect(blocks({ text: "a", fg: 232 })[0]?.colour).toBe("rgb(8 8 8)");
    expect(blocks({ text: "a", fg: "url(x)" })[0]?.colour).toBe(theme.foreground);
  });

  it("is bounded, whatever size the session has", () => {
    const line = { runs: Array.from({ length: 2000 }, (_, index) => ({ text: "x", fg: index % 256 })) };
    expect(blocksOf({ cols: 2000, rows: 2000, lines: Array.from({ length: 2000 }, () => line) }, theme).length).toBeLessThanOrEqual(240 * 80);
  });
});
