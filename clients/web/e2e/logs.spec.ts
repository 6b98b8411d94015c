/** The logs panel: everything that happened, in order, each once, whoever was closed or killed meanwhile. */

import { readFileSync } from "node:fs";
import type { Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import { eventSeqs, sql } from "./support/database";
import { expect, online, open, test } from "./support/test";

async function openLogs(page: Page): Promise<void> {
  await page.getByTestId("panel-logs").click();
  await expect(page.getByTestId("logs-state")).toHaveAttribute("data-state", "live");
}

function seqs(page: Page): Promise<readonly number[]> {
  return page.evaluate(() => window.batonTest?.logSeqs() ?? []);
}

/** Waits until the panel has exactly what Baton keeps: all of it, in order, each once. */
async function hasAll(page: Page, baton: Baton): Promise<void> {
  const differs = async (): Promise<string> => {
    const [kept, has] = [await eventSeqs(baton), await seqs(page)];
    const at = kept.findIndex((seq, index) => seq !== has[index]);
    return at < 0 && kept.length === has.length ? "" : `${has.length} of ${kept.length}, other from ${at} on`;
  };
  await expect.poll(differs).toBe("");
}

/** The numbers of the rows that are drawn, from the top. */
async function drawn(page: Page): Promise<number[]> {
  const rows = await page.getByTestId("logs-row").evaluateAll((items) => items.map((item) => ({ seq: Number(item.dataset["seq"]), top: item.getBoundingClientRect().top })));
  return rows.sort((a, b) => a.top - b.top).map(({ seq }) => seq);
}

const MARKS = 170;
const PROGRAMS = 60;

/** Programs that each make marks, fewer than what the bridge calls too many, and stay. */
async function flood(baton: Baton, programs: number, name: string): Promise<void> {
  const script = `for i in $(seq ${MARKS}); do printf '\\033]133;C;cmdline_url=${name}%%20%s\\007' $i; done; read`;
  for (let count = 0; count < programs; count += 10) {
    await Promise.all(Array.from({ length: Math.min(10, programs - count) }, () => baton.api("POST", "/v1/terminal/sessions", { command: ["bash", "-c", script] })));
  }
}

/** What one types so that commands with this name are marked, as a shell does. */
function marks(name: string, count: number): string {
  return `for i in $(seq ${count}); do printf '\\033]133;C;cmdline_url=${name.replaceAll(" ", "%%20")}%%20%s\\007' $i; done\n`;
}

async function count(baton: Baton, where: string): Promise<number> {
  const [[number] = []] = await sql(baton, `SELECT count(*) FROM events WHERE ${where}`);
  return number as number;
}

test("closed while ten thousand events happen and the bridge is killed, it shows all of them in order, each once", async ({ baton, page }) => {
  test.setTimeout(240_000);
  const session = await baton.shell("looked at");
  await open(page, baton, session);
  await openLogs(page);
  await hasAll(page, baton);
  await page.getByTestId("close-panel").click();
  await expect(page.getByTestId("side-panel")).toHaveCount(0);
  const before = (await seqs(page)).at(-1) ?? 0;
  expect(before).toBeGreaterThan(0);

  await flood(baton, PROGRAMS / 2, "before");
  await baton.kill("bridge");
  await baton.serving();
  await flood(baton, PROGRAMS / 2, "after");
  await expect.poll(() => count(baton, "type = 'mark'"), { timeout: 120_000 }).toBe(PROGRAMS * MARKS);
  expect((await eventSeqs(baton, before)).length).toBeGreaterThan(10_000);
  expect((await seqs(page)).at(-1), "closed, it hears nothing").toBe(before);

  await openLogs(page);
  await hasAll(page, baton);
  const kept = await eventSeqs(baton);
  expect(await seqs(page)).toEqual(kept);

  // What is drawn is that, too: the end, the beginning, and the middle.
  const scroll = page.getByTestId("logs-scroll");
  await expect.poll(async () => (await drawn(page)).at(-1)).toBe(kept.at(-1));
  await scroll.evaluate((box) => (box.scrollTop = 0));
  await expect.poll(async () => (await drawn(page))[0]).toBe(kept[0]);
  await expect(page.getByTestId("logs-head")).toHaveAttribute("data-before", "nothing");
  for (const part of [0.3, 0.7]) {
    await scroll.evaluate((box, to) => (box.scrollTop = to * box.scrollHeight), part);
    await expect.poll(async () => kept.indexOf((await drawn(page))[0] ?? 0) / kept.length).toBeGreaterThan(part - 0.05);
    const rows = (await drawn(page)).slice(0, -1);
    const at = kept.indexOf(rows[0] ?? 0);
    expect(rows).toEqual(kept.slice(at, at + rows.length));
    expect(rows.length, "only what is in sight is in the page").toBeLessThan(60);
  }
});

test("it tells live what happens, in plain words, and goes to the session", async ({ baton, page }) => {
  const session = await baton.shell("the one at work");
  const other = await baton.shell("another");
  await open(page, baton, other);
  await openLogs(page);
  await baton.type(session, "printf '\\033]133;C;cmdline_url=make%%20all\\007'; printf '\\033]133;D;2\\007\\033]9;built it\\007'\n");
  const rows = page.getByTestId("logs-row");
  await expect(rows.filter({ hasText: "Runs: make all" })).toBeVisible();
  await expect(rows.filter({ hasText: /Exit code 2 after \d+ ms: make all/ })).toBeVisible();
  await expect(rows.filter({ hasText: "Notification: built it" })).toBeVisible();
  await expect(rows.filter({ hasText: /gave up control|Control is free/ }).last()).toBeVisible();

  const row = rows.filter({ hasText: "Runs: make all" });
  await row.getByRole("button", { expanded: false }).click();
  await expect(row.getByTestId("logs-json")).toContainText('"kind": "command"');
  await row.getByTestId("logs-go").click();
  await expect(page.getByTestId("rename")).toHaveText("the one at work");
  await expect(page.getByTestId("logs"), "the panel stays").toBeVisible();
});

test("filters leave what is asked for, count the rest, and are kept", async ({ baton, page }) => {
  const session = await baton.shell("mine");
  const other = await baton.shell("theirs");
  await baton.type(session, "printf '\\033]9;from mine\\007'\n");
  await baton.type(other, "printf '\\033]9;from theirs\\007'\n");
  await open(page, baton, session);
  await openLogs(page);
  const rows = page.getByTestId("logs-row");
  await expect(rows.filter({ hasText: "Notification: from theirs" })).toBeVisible();
  await page.getByTestId("logs-text").fill("NOTIFICATION: from");
  await expect(rows).toHaveCount(2);
  await page.getByTestId("logs-session").selectOption("This session");
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText("from mine");
  await expect(page.getByTestId("logs-chip-attention")).toContainText("1");
  await page.getByTestId("logs-chip-attention").click();
  await expect(rows).toHaveCount(0);
  await expect(page.getByTestId("logs-chip-attention"), "what is hidden is counted").toContainText("1");

  await page.reload();
  await openLogs(page);
  await expect(page.getByTestId("logs-text")).toHaveValue("NOTIFICATION: from");
  await expect(page.getByTestId("logs-chip-attention")).toHaveAttribute("aria-pressed", "false");
  await page.getByTestId("logs-chip-attention").click();
  await expect(rows, "what was before the page was loaded is read again").toHaveCount(1);
  await page.getByTestId("logs-everything").click();
  await hasAll(page, baton);
  await expect.poll(() => rows.count()).toBeGreaterThan(2);
});

test("it stands still for who reads, and for who says so", async ({ baton, page }) => {
  const session = await baton.shell("busy");
  await baton.type(session, marks("early", 60));
  await open(page, baton, session);
  await openLogs(page);
  const rows = page.getByTestId("logs-row");
  await expect(rows.filter({ hasText: "early 60" })).toBeVisible();
  const scroll = page.getByTestId("logs-scroll");
  await scroll.hover();
  await page.mouse.wheel(0, -900);
  await expect(scroll).toHaveAttribute("data-following", "false");
  const still = await drawn(page);
  await baton.type(session, marks("late", 1));
  await expect(page.getByTestId("logs-jump")).toBeVisible();
  await hasAll(page, baton);
  expect((await drawn(page))[0]).toBe(still[0]);
  await page.getByTestId("logs-jump").click();
  await expect(rows.filter({ hasText: "Runs: late 1" })).toBeVisible();
  await expect(page.getByTestId("logs-jump")).toHaveCount(0);

  await page.getByTestId("logs-pause").click();
  await expect(page.getByTestId("logs-state")).toHaveAttribute("data-state", "paused");
  const shown = await page.getByTestId("logs-count").getAttribute("data-shown");
  await baton.type(session, marks("while paused", 1));
  await hasAll(page, baton);
  await expect(page.getByTestId("logs-jump")).toContainText("new");
  await expect(page.getByTestId("logs-count")).toHaveAttribute("data-shown", shown ?? "");
  await page.getByTestId("logs-pause").click();
  await expect(rows.filter({ hasText: "Runs: while paused 1" })).toBeVisible();
});

test("after a reload it goes on where it was, and reads what was before", async ({ baton, page }) => {
  const session = await baton.shell("goes on");
  await open(page, baton, session);
  await openLogs(page);
  await hasAll(page, baton);
  // Another life of the bridge: between the two, numbers have a large hole.
  await baton.kill("bridge");
  await baton.serving();
  await baton.type(session, "printf '\\033]9;in between\\007'\n");
  await expect(page.getByTestId("logs-row").filter({ hasText: "in between" })).toBeVisible();
  await hasAll(page, baton);
  await page.reload();
  await openLogs(page);
  await hasAll(page, baton);
  await expect(page.getByTestId("logs-head")).toHaveAttribute("data-before", "nothing");
  expect(await seqs(page)).toEqual(await eventSeqs(baton));
});

test("events that are not kept any more are said to be missing", async ({ baton, page }) => {
  const session = await baton.shell("cut");
  await open(page, baton, session);
  await openLogs(page);
  await hasAll(page, baton);
  const before = (await seqs(page)).at(-1) ?? 0;
  await page.getByTestId("close-panel").click();
  await baton.type(session, "printf '\\033]9;nobody hears this\\007'\n");
  await expect.poll(() => count(baton, `seq > ${before} AND type = 'lease'`)).toBeGreaterThan(1);
  await baton.kill("bridge");
  await sql(baton, "DELETE FROM events WHERE type <> 'bridge'");
  await baton.serving();
  await openLogs(page);
  const gap = page.locator('[data-testid="logs-row"][data-type="gap"]');
  await expect(gap).toContainText("Events are missing here");
  await page.getByTestId("logs-text").fill("no event says this");
  await expect(gap, "whatever is looked for").toBeVisible();
  await expect(page.getByTestId("logs-row")).toHaveCount(1);
});

test("a hundred thousand events stay usable", async ({ baton, page }) => {
  test.setTimeout(180_000);
  const session = await baton.shell("long ago");
  const many = 99_000;
  // Of a time before this Baton: older than everything it has made itself.
  await sql(baton, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${many}) INSERT INTO events SELECT i, 'session', '${session}', 'resize', 1700000000000000 + i, json_object('cols', 80, 'rows', i) FROM n`);
  // A page that has heard of nothing begins at the beginning.
  await open(page, baton);
  await openLogs(page);
  await expect(page.getByTestId("logs-count")).toHaveAttribute("data-held", /^99\d{3}$/, { timeout: 90_000 });
  await hasAll(page, baton);
  const row = page.getByTestId("logs-row");
  const began = Date.now();
  const scroll = page.getByTestId("logs-scroll");
  for (const part of [0, 0.5, 0.25, 0.75, 1]) {
    await scroll.evaluate((box, to) => (box.scrollTop = to * box.scrollHeight), part);
    await expect(row.nth(8)).toBeInViewport();
    expect(await row.count()).toBeLessThan(60);
  }
  await page.getByTestId("logs-text").fill("80 × 54321 now");
  await expect(row).toHaveCount(1);
  await page.getByTestId("logs-everything").click();
  await baton.type(session, marks("still live", 1));
  await expect(row.filter({ hasText: "Runs: still live 1" })).toBeVisible();
  // A loose bound: a list that draws all of its rows takes minutes.
  expect(Date.now() - began).toBeLessThan(30_000);
});

test("the first time, it begins with the newest and reads older ones when it is asked to", async ({ baton, page }) => {
  const session = await baton.shell("long ago");
  const many = 12_000;
  await sql(baton, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${many}) INSERT INTO events SELECT i, 'session', '${session}', 'resize', 1700000000000000 + i, json_object('cols', 80, 'rows', i) FROM n`);
  await open(page, baton, session);
  await openLogs(page);
  const held = async (): Promise<number> => (await seqs(page)).length;
  const older = page.getByTestId("logs-older");
  const scroll = page.getByTestId("logs-scroll");
  await expect.poll(held).toBeGreaterThan(4_999);
  let pages = 1;
  for (; await older.isVisible(); pages++) {
    const [kept, has] = [await eventSeqs(baton), await seqs(page)];
    expect(has.length).toBeLessThan(kept.length);
    expect(has, "the newest, and no hole in them").toEqual(kept.slice(-has.length));
    await scroll.evaluate((box) => (box.scrollTop = 0));
    const top = (await drawn(page))[0];
    await older.click();
    await expect.poll(held).toBeGreaterThan(has.length);
    expect((await drawn(page)).includes(top ?? 0), "what is looked at stays").toBe(true);
  }
  expect(pages).toBe(3);
  await hasAll(page, baton);
  await expect(page.getByTestId("logs-head")).toHaveAttribute("data-before", "nothing");
});

test("offline and back, nothing is missing", async ({ baton, way, page }) => {
  const session = await baton.shell("away");
  await open(page, baton, session, way);
  await openLogs(page);
  await hasAll(page, baton);
  await online(page, false);
  way.cut();
  await baton.type(session, marks("unheard", 20));
  await expect.poll(() => count(baton, "type = 'mark'")).toBe(20);
  way.mend();
  await online(page, true);
  await expect(page.getByTestId("logs-row").filter({ hasText: "Runs: unheard 20" }).last()).toBeVisible();
  await hasAll(page, baton);
});

test("what is shown is saved and copied as JSON lines", async ({ baton, page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const session = await baton.shell("saved");
  await baton.type(session, marks("saved", 2));
  await open(page, baton, session);
  await openLogs(page);
  await page.getByTestId("logs-text").fill("Runs: saved");
  await expect(page.getByTestId("logs-row")).toHaveCount(2);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId("logs-save").click()]);
  expect(download.suggestedFilename()).toMatch(/^baton-events-.*\.jsonl$/);
  const saved = readFileSync(await download.path(), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as { seq: number; data: { text: string } });
  expect(saved.map(({ data }) => data.text)).toEqual(["saved 1", "saved 2"]);
  await page.getByTestId("logs-copy").click();
  await expect(page.getByTestId("notice")).toContainText("Copied 2 events");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied.trimEnd().split("\n").map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual(saved.map(({ seq }) => seq));
});

test("the keyboard reaches everything", async ({ baton, page }) => {
  const session = await baton.shell("keys");
  await baton.type(session, marks("number", 60));
  await open(page, baton, session);
  await page.getByTestId("panel-logs").focus();
  await page.keyboard.press("Enter");
  await hasAll(page, baton);
  await expect(page.getByTestId("logs-row").last()).toBeVisible();
  const kept = await eventSeqs(baton);
  // From the heading to the list: the last row is the keyboard's.
  const focused = (): Promise<number> => page.evaluate(() => Number(document.activeElement?.closest<HTMLElement>("[data-seq]")?.dataset["seq"] ?? 0));
  for (let tabs = 0; tabs < 40 && (await focused()) === 0; tabs++) await page.keyboard.press("Tab");
  expect(await focused()).toBe(kept.at(-1));
  await page.keyboard.press("ArrowUp");
  expect(await focused()).toBe(kept.at(-2));
  await page.keyboard.press("Home");
  expect(await focused()).toBe(kept[0]);
  await expect(page.locator(`[data-seq="${kept[0]}"]`)).toBeInViewport();
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("logs-json")).toBeInViewport();
  await page.keyboard.press("End");
  expect(await focused()).toBe(kept.at(-1));
  await expect(page.locator(`[data-seq="${kept.at(-1)}"]`)).toBeInViewport();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("logs")).toHaveCount(0);
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`nothing of the panel breaks WCAG AA, ${colorScheme}`, async ({ baton, page }) => {
    await page.emulateMedia({ colorScheme });
    const session = await baton.shell("checked");
    await baton.type(session, "printf '\\033]133;C;cmdline_url=make\\007\\033]133;D;1\\007\\033]9;done\\007'\n");
    await open(page, baton, session);
    await openLogs(page);
    const row = page.getByTestId("logs-row").filter({ hasText: "Exit code 1" });
    await row.getByRole("button", { expanded: false }).click();
    await page.getByTestId("logs-chip-size").click();
    for (const size of [{ width: 1440, height: 900 }, { width: 1024, height: 768 }, { width: 375, height: 812 }]) {
      await page.setViewportSize(size);
      await expect(page.getByTestId("logs-json")).toBeVisible();
      await noViolations(page, '[data-testid="side-panel"]');
    }
  });
}
