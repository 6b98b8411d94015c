/** The list: what its rows say, what wants somebody, what can be done from it, and what it costs. */

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import { expectRoomForFinger } from "./support/fingers";
import { picture, row, says } from "./support/list";
import { expect, open, test } from "./support/test";

interface Detail {
  status: string;
  title: string;
  labels: Record<string, string>;
  limits: { memory_bytes?: number };
  sandbox: { profile: string };
}

const detail = (baton: Baton, session: string): Promise<Detail> => baton.api<Detail>("GET", `/v1/sessions/${session}`);

test("a row says folder, command, labels, owner, attached and exit, as they change", async ({ baton, terminal, page }) => {
  const session = await baton.shell("worked in", { labels: { ticket: "42" } });
  await open(page, baton);
  const mine = row(page, session);
  await expect(mine.getByTestId("row-command")).toHaveText("bash --norc --noprofile");
  await expect(mine.getByTestId("row-cwd")).toContainText("scratch");
  await expect(mine.getByTestId("row-labels")).toHaveText("ticket=42");
  await expect(mine.getByTestId("row-status")).toHaveText("Running");
  await expect(mine.getByTestId("row-owner")).toBeHidden();

  const cli = await terminal("attach", "worked in");
  await cli.shows("$");
  await expect(mine.getByTestId("row-attached")).toHaveText("1 attached");
  await expect(mine.getByTestId("row-owner")).not.toBeEmpty();
  // No mark tells of it: the shell has no integration. That something was printed does.
  await cli.type("cd /usr/share && vim -u NONE -N -i NONE poem\n");
  await expect(mine.getByTestId("row-command")).toHaveText("vim -u NONE -N -i NONE poem");
  await expect(mine.getByTestId("row-cwd")).toHaveText("/usr/share");
  await baton.api("PATCH", `/v1/sessions/${session}`, { labels: { docs: "", ticket: "43" } });
  await expect(mine.getByTestId("row-labels")).toHaveText(/docs.*ticket=43/);
  await cli.type(":q\n");
  await cli.type("exit 7\n");
  await expect(mine.getByTestId("row-status")).toHaveText("Ended with exit code 7");
  await expect(mine.getByTestId("session-item")).toHaveAttribute("data-status", "exited");
});

test("a row has a small picture of its screen, which follows it and the theme, and can be switched off", async ({ baton, page }) => {
  const session = await baton.shell("pictured");
  await open(page, baton);
  await expect(row(page, session).getByTestId("thumbnail")).toHaveAttribute("data-drawn", "true");
  const blank = await picture(page, session);
  await baton.type(session, "printf '\\e[41m%300s\\e[0m\\n' red\n");
  await expect.poll(() => picture(page, session)).not.toBe(blank);
  const dark = await picture(page, session);
  await page.emulateMedia({ colorScheme: "light" });
  await expect.poll(() => picture(page, session)).not.toBe(dark);

  await page.getByTestId("notify-settings").click();
  await page.getByTestId("pictures-on").uncheck();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("thumbnail")).toHaveCount(0);
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await baton.type(session, "cd /usr\n");
  await expect(row(page, session).getByTestId("row-cwd")).toHaveText("/usr");
  expect(asked.filter((url) => url.includes("/snapshot"))).toEqual([]);
  await page.reload();
  await expect(row(page, session)).toBeVisible();
  await expect(page.getByTestId("thumbnail")).toHaveCount(0);
});

test("fifty sessions, five busy and on the screen: only those are read, each every two seconds; and by a page that nobody sees, none", async ({ baton, page }) => {
  // Below the others, where nobody sees them.
  for (let index = 0; index < 3; index++) await baton.shell(`ringing ${index}`, { command: ["sh", "-c", "while :; do printf '\\a'; sleep 0.3; done"] });
  for (let index = 0; index < 42; index++) await baton.shell(`quiet ${index}`, { command: ["cat"] });
  const busy: string[] = [];
  for (let index = 0; index < 5; index++) busy.push(await baton.shell(`busy ${index}`, { command: ["sh", "-c", "while :; do date +%N; sleep 0.1; done"] }));
  const asked: { session: string; picture: boolean }[] = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    const found = /^\/v1\/(?:terminal\/)?sessions\/(ses_\w+)(\/snapshot)?$/.exec(pathname);
    if (found?.[1]) asked.push({ session: found[1], picture: found[2] !== undefined });
  });
  await open(page, baton);
  await expect(page.getByTestId("session-item")).toHaveCount(50);
  // Only rows on the screen have one.
  await expect.poll(() => page.locator('[data-testid="thumbnail"][data-drawn="true"]').count()).toBeGreaterThan(4);
  const shown = await page.getByTestId("thumbnail").count();
  expect(shown).toBeLessThan(15);
  await expect(page.locator('[data-testid="thumbnail"][data-drawn="true"]')).toHaveCount(shown);

  // How often in a while is what is measured, once the shells have said all they say at their start.
  const SECONDS = 8;
  await expect(async () => {
    asked.length = 0;
    await page.waitForTimeout(SECONDS * 1000);
    const pictures = asked.filter((one) => one.picture);
    for (const session of busy) {
      const count = pictures.filter((one) => one.session === session).length;
      expect(count).toBeGreaterThanOrEqual(2);
      expect(count).toBeLessThanOrEqual(SECONDS / 2 + 1);
    }
    expect(asked.filter(({ session }) => !busy.includes(session))).toEqual([]);
    expect(asked.length).toBeLessThanOrEqual(busy.length * (SECONDS / 2 + 1) * 2);
  }).toPass({ timeout: 5 * SECONDS * 1000 });

  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  // What was under way ends, and nothing follows it.
  await expect(async () => {
    asked.length = 0;
    await page.waitForTimeout(4_000);
    expect(asked).toEqual([]);
  }).toPass({ timeout: 20_000 });
});

test("a bell, a message, a finished command and an end leave marks until somebody looks, also over a reload", async ({ baton, page }) => {
  const [looked, rung, worked] = [await baton.shell("looked at"), await baton.shell("rings"), await baton.shell("works")];
  const ends = await baton.shell("ends", { command: ["sh", "-c", "read line; exit 3"] });
  await open(page, baton, looked);
  await page.getByTestId("notify-settings").click();
  await page.getByTestId("long-seconds").fill("1");
  await page.getByTestId("long-seconds").blur();
  await page.keyboard.press("Escape");

  await says(baton, looked, "\\a");
  await says(baton, rung, "\\a", "\\e]9;deploy is done\\a");
  await expect(row(page, rung).getByTestId("mark-bell")).toHaveText("Bell");
  await expect(row(page, rung).getByTestId("mark-message")).toHaveText("deploy is done");
  await baton.type(worked, "printf '\\e]133;C\\a'; sleep 1.2; printf '\\e]133;D;0\\a'\n");
  await expect(row(page, worked).getByTestId("mark-finished")).toHaveText(/^Finished: 0 after 1\.\d s$/);
  await expect(row(page, worked).getByTestId("mark-finished")).toHaveClass(/mark-good/);
  await baton.type(worked, "printf '\\e]133;C\\a'; sleep 1.2; printf '\\e]133;D;2\\a'\n");
  await expect(row(page, worked).getByTestId("mark-finished")).toHaveText(/^Finished: 2/);
  await expect(row(page, worked).getByTestId("mark-finished")).toHaveClass(/mark-bad/);
  await baton.type(ends, "go\n");
  await expect(row(page, ends).getByTestId("mark-ended")).toHaveText("Ended: 3");
  await expect(row(page, looked).getByTestId("row-marks")).toBeHidden();
  await expect(page.getByTestId("needs-count")).toHaveText("3");
  await expect(page).toHaveTitle("(3) looked at · Baton");
  await expect(page.locator('link[rel="icon"]')).toHaveAttribute("href", "/favicon-attention.svg");

  await page.reload();
  await expect(row(page, rung).getByTestId("mark-bell")).toBeVisible();
  await row(page, rung).getByTestId("session-item").click();
  await expect(row(page, rung).getByTestId("row-marks")).toBeHidden();
  await expect(page.getByTestId("needs-count")).toHaveText("2");
  await page.reload();
  await expect(row(page, worked).getByTestId("mark-finished")).toBeVisible();
  await expect(row(page, rung).getByTestId("row-marks")).toBeHidden();

  // What happens while no page is open is there when one is.
  await page.goto("about:blank");
  await says(baton, looked, "\\a");
  await page.goto(baton.url);
  await expect(row(page, looked).getByTestId("mark-bell")).toBeVisible();
  await expect(row(page, rung).getByTestId("row-marks")).toBeHidden();
});

test("a look in another tab clears the marks in this one", async ({ baton, page, context }) => {
  const [looked, rung] = [await baton.shell("looked at"), await baton.shell("rings")];
  await open(page, baton, looked);
  await says(baton, rung, "\\a");
  await expect(row(page, rung).getByTestId("mark-bell")).toBeVisible();
  const second = await context.newPage();
  await second.goto(baton.url);
  await row(second, rung).getByTestId("session-item").click();
  await expect(row(page, rung).getByTestId("row-marks")).toBeHidden();
});

test("a session that asks for approval, or for a password, says so while it does", async ({ baton, page }) => {
  const session = await baton.shell("asks", { sandbox: "workspace" });
  const ada = await baton.agent("ada");
  await baton.api("PATCH", `/v1/sessions/${session}`, { owner_agent_id: "ada" });
  await open(page, baton);
  const asked = await baton.api<{ approval_id: string }>("POST", `/v1/terminal/sessions/${session}/claim`, { client_id: "agent:ada" }, ada);
  await expect(row(page, session).getByTestId("mark-approval")).toHaveText("Needs approval");
  await page.getByTestId("shown-needs").check({ force: true });
  await expect(page.getByTestId("session-item")).toHaveCount(1);
  const { context_hash } = await baton.api<{ context_hash: string }>("GET", `/v1/approvals/${asked.approval_id}`);
  await baton.api("POST", `/v1/approvals/${asked.approval_id}/decision`, { decision: "deny", context_hash });
  await expect(page.getByTestId("none-match")).toBeVisible();
  await page.getByTestId("shown-all").check({ force: true });
  await expect(row(page, session).getByTestId("mark-approval")).toBeHidden();

  await baton.type(session, "stty -echo; echo Password:; read line; stty echo\n");
  await expect(row(page, session).getByTestId("mark-password")).toHaveText("Asks for a password");
  await expect(page.getByTestId("needs-count")).toHaveText("1");
  await baton.type(session, "hunter2\n");
  await expect(row(page, session).getByTestId("mark-password")).toBeHidden();
});

test("the filter finds by name, folder, command, label, owner and status", async ({ baton, page }) => {
  const web = await baton.shell("web build", { labels: { ticket: "42" } });
  const api = await baton.shell("api", { cwd: "/usr/share", command: ["sleep", "1000"] });
  const ended = await baton.shell("over", { command: ["true"] });
  await open(page, baton);
  await expect(row(page, ended).getByTestId("session-item")).toHaveAttribute("data-status", "exited");
  await expect(row(page, api).getByTestId("row-cwd")).toHaveText("/usr/share");
  const shown = async (filter: string, sessions: string[]): Promise<void> => {
    await page.getByTestId("filter").fill(filter);
    await expect.poll(() => page.getByTestId("session-item").evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset["sessionId"]).sort())).toEqual([...sessions].sort());
  };
  await shown("WEB", [web]);
  await shown("ticket=42", [web]);
  await shown("/usr/share", [api]);
  await shown("sleep", [api]);
  await shown("exited", [ended]);
  await shown("web nowhere", []);
  await expect(page.getByTestId("none-match")).toContainText("No session matches “web nowhere”");
  await shown("", [web, api, ended]);
  await page.getByTestId("shown-ended").check({ force: true });
  await shown("", [ended]);
  await page.getByTestId("shown-living").check({ force: true });
  await shown("", [web, api]);
  await page.getByTestId("shown-needs").check({ force: true });
  await expect(page.getByTestId("none-match")).toContainText("Nothing needs you");
});

test("the filter and the palette find a folder in a row that nobody scrolled to", async ({ baton, page }) => {
  const deep = await baton.shell("deep down", { cwd: "/usr/share" });
  for (let index = 0; index < 25; index++) await baton.shell(`above ${index}`, { command: ["cat"] });
  await open(page, baton);
  await expect(page.getByTestId("session-item")).toHaveCount(26);
  await page.getByTestId("filter").fill("usr/share");
  await expect(page.getByTestId("session-item")).toHaveCount(1);
  await expect(row(page, deep)).toBeVisible();
  // It goes on unseen: what was known of it is no longer true.
  await page.getByTestId("filter").fill("above");
  await expect(page.getByTestId("session-item")).toHaveCount(25);
  await baton.type(deep, "cd /usr/lib\n");
  await page.getByTestId("filter").blur();
  await expect.poll(async () => {
    await page.keyboard.press("Control+K");
    await page.getByTestId("palette-input").fill("usr/lib");
    const found = await page.getByTestId("palette-item").first().textContent();
    await page.keyboard.press("Escape");
    return found;
  }).toContain("deep down");
});

test("what happens while the bridge is down is marked once it is back", async ({ baton, page }) => {
  const [looked, rings] = [await baton.shell("looked at"), await baton.shell("rings", { command: ["sh", "-c", "read line; while ! test -e down; do sleep 0.05; done; printf '\\a'; touch rung; cat"] })];
  await open(page, baton, looked);
  await baton.type(rings, "go\n");
  await baton.kill("bridge");
  writeFileSync(join(baton.scratch, "down"), "");
  await expect.poll(() => existsSync(join(baton.scratch, "rung"))).toBe(true);
  await baton.serving();
  await expect(row(page, rings).getByTestId("mark-bell")).toBeVisible({ timeout: 30_000 });
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
  await expect(row(page, looked).getByTestId("row-marks")).toBeHidden();
});

test("who may only watch one session sees its row and picture, and nothing to change it by", async ({ baton, browser }) => {
  const session = await baton.shell("shared");
  await baton.shell("private");
  await baton.type(session, "echo shown\n");
  for (const from of ["start", "here"]) {
    const { url } = await baton.api<{ url: string }>("POST", "/v1/auth/links", { kind: "share", session_id: session, from });
    const page = await browser.newPage();
    const asked: string[] = [];
    page.on("request", (request) => request.url().includes("/snapshot") && asked.push(request.url()));
    await page.goto(url);
    await expect(page.getByTestId("session-item")).toHaveCount(1);
    await expect(row(page, session).getByTestId("row-command")).toHaveText("bash --norc --noprofile");
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    await expect(page.getByTestId("row-menu")).toHaveCount(0);
    await expect(page.getByTestId("new-session")).toHaveCount(0);
    await page.getByTestId("open-palette").click();
    await expect(page.locator('[data-key="new"], [data-key="rename"], [data-key="claim"]')).toHaveCount(0);
    await page.keyboard.press("Escape");
    if (from === "start") await expect(row(page, session).getByTestId("thumbnail")).toHaveAttribute("data-drawn", "true");
    await page.close();
  }
});

test("the list by keyboard: arrows, Enter, F2 and Delete, and the focus comes back", async ({ baton, page }) => {
  const [first, second] = [await baton.shell("first"), await baton.shell("second")];
  await open(page, baton);
  const item = (session: string) => row(page, session).getByTestId("session-item");
  await page.getByTestId("filter").focus();
  await page.keyboard.press("ArrowDown");
  await expect(item(second)).toBeFocused();
  await page.keyboard.press("ArrowDown");
  await expect(item(first)).toBeFocused();
  await page.keyboard.press("Home");
  await expect(item(second)).toBeFocused();
  await expect(page.locator(".session-item[tabindex='0']")).toHaveCount(1);

  await page.keyboard.press("F2");
  await expect(page.getByTestId("rename-input")).toBeFocused();
  await page.keyboard.type("first");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("rename-problem")).toContainText("first");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("renamed");
  await page.keyboard.press("Enter");
  await expect(item(second)).toContainText("renamed");
  await expect(item(second)).toBeFocused();

  await page.keyboard.press("ArrowRight");
  await expect(row(page, second).getByTestId("row-menu")).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("do-rename")).toBeFocused();
  await page.keyboard.press("ArrowDown");
  await expect(page.getByTestId("do-labels")).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("row-menu-body")).toHaveCount(0);
  await expect(row(page, second).getByTestId("row-menu")).toBeFocused();
  await page.keyboard.press("ArrowLeft");

  await page.keyboard.press("Delete");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect((await detail(baton, second)).status).toBe("running");
  await expect(item(second)).toBeFocused();
  await page.keyboard.press("Delete");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByTestId("confirm")).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(item(second)).toHaveAttribute("data-status", "closed");

  await item(first).focus();
  await page.keyboard.press("Enter");
  await expect(item(first)).toHaveAttribute("aria-current", "true");
});

test("a question asked before the browser has told that the last one is closed stays", async ({ baton, page }) => {
  const session = await baton.shell("asked about twice");
  await open(page, baton);
  const item = row(page, session).getByTestId("session-item");
  await item.focus();
  for (const key of ["Delete", "F2"]) {
    await page.keyboard.press(key);
    await expect(page.getByRole("dialog")).toBeVisible();
    // As it closes one without a key of ours, and the next key in the same moment; it tells of the end afterwards.
    await item.evaluate((element) => {
      document.querySelector("dialog")?.close();
      element.dispatchEvent(new KeyboardEvent("keydown", { key: "Delete", bubbles: true, cancelable: true }));
    });
    await expect(page.getByTestId("confirm")).toBeVisible();
    await page.evaluate(() => new Promise((done) => setTimeout(() => requestAnimationFrame(done))));
    await expect(page.getByTestId("confirm")).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(item).toBeFocused();
  }
});

test("labels are put on and taken off", async ({ baton, page }) => {
  const session = await baton.shell("labelled", { labels: { old: "1" } });
  await open(page, baton);
  await row(page, session).hover();
  await row(page, session).getByTestId("row-menu").click();
  await page.getByTestId("do-labels").click();
  await page.getByTestId("labels-input").fill("ticket=42, docs");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("list", { name: "Labels" }).getByRole("listitem")).toHaveText(["docs", "old=1", "ticket=42"]);
  await page.getByRole("button", { name: "Remove old=1" }).click();
  await expect(page.getByRole("list", { name: "Labels" }).getByRole("listitem")).toHaveCount(2);
  await page.getByTestId("labels-input").fill("=nothing");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("needs a name");
  await page.getByRole("button", { name: "Done" }).click();
  await expect(row(page, session).getByTestId("row-labels")).toHaveText(/docs.*ticket=42/);
  expect((await detail(baton, session)).labels).toEqual({ docs: "", ticket: "42" });
});

test("a session is made with a name, a command, confinement, labels and limits; what is refused is said", async ({ baton, page }) => {
  await baton.shell("taken");
  await open(page, baton);
  await page.getByTestId("new-session-options").click();
  const dialog = page.getByRole("dialog", { name: "New session" });
  await dialog.getByLabel("Name", { exact: true }).fill("taken");
  await dialog.getByRole("button", { name: "Start" }).click();
  await expect(page.getByTestId("create-problem")).toContainText("taken");
  await dialog.getByLabel("Name", { exact: true }).fill("made here");
  await dialog.getByLabel("Command").fill("echo made; exec cat");
  await dialog.getByLabel("Folder", { exact: true }).fill(baton.scratch);
  await dialog.getByLabel("Labels", { exact: true }).fill("ticket=42");
  await dialog.getByText("Confinement and limits").click();
  await page.getByTestId("create-sandbox").selectOption("workspace");
  await dialog.getByLabel("Memory").fill("1");
  await dialog.getByRole("button", { name: "Start" }).click();
  await expect(page.getByTestId("create-problem")).toContainText("from 16 to");
  await dialog.getByLabel("Memory").fill("512");
  await dialog.getByRole("button", { name: "Start" }).click();
  await expect(dialog).toBeHidden();
  const made = page.getByTestId("session-item").filter({ hasText: "made here" });
  await expect(made).toHaveAttribute("aria-current", "true");
  await expect(made.locator(".sandbox-hint")).toContainText("workspace");
  const session = await detail(baton, (await made.getAttribute("data-session-id")) ?? "");
  expect(session).toMatchObject({ title: "made here", labels: { ticket: "42" }, sandbox: { profile: "workspace" }, limits: { memory_bytes: 512 * 2 ** 20 } });
});

test("from its row an ended session is started again, closed and removed", async ({ baton, page }) => {
  const session = await baton.shell("again", { command: ["sh", "-c", "read line; exit 4"] });
  await open(page, baton);
  const item = row(page, session).getByTestId("session-item");
  const choose = async (name: string): Promise<void> => {
    await row(page, session).hover();
    await row(page, session).getByTestId("row-menu").click();
    await page.getByTestId(`do-${name}`).click();
  };
  await baton.type(session, "end\n");
  await expect(item).toHaveAttribute("data-status", "exited");
  await choose("respawn");
  await expect(item).toHaveAttribute("data-status", "running");
  await choose("close");
  await expect(page.getByRole("dialog")).toContainText("Close “again”?");
  await page.getByTestId("confirm").click();
  await expect(item).toHaveAttribute("data-status", "closed");
  // The bridge starts nothing again that somebody closed: it is not offered.
  await row(page, session).hover();
  await row(page, session).getByTestId("row-menu").click();
  await expect(page.getByTestId("do-respawn")).toHaveCount(0);
  await page.getByTestId("do-forget").click();
  await page.getByTestId("confirm").click();
  await expect(row(page, session)).toHaveCount(0);
  expect((await baton.ask("GET", `/v1/sessions/${session}`)).status).toBe(404);
});

test("of two hundred sessions a change touches one row, and only what is on the screen is painted", async ({ baton, page }) => {
  const ended = Array.from({ length: 195 }, (_, index) => index);
  for (let at = 0; at < ended.length; at += 8) await Promise.all(ended.slice(at, at + 8).map((index) => baton.shell(`ended ${index}`, { command: ["true"] })));
  const living: string[] = [];
  for (let index = 0; index < 5; index++) living.push(await baton.shell(`living ${index}`));
  const changed = living[2] ?? "";
  await open(page, baton);
  await expect(page.getByTestId("session-item")).toHaveCount(200);
  await expect.poll(() => page.locator('[data-testid="thumbnail"][data-drawn="true"]').count()).toBeGreaterThan(5);
  expect(await page.getByTestId("thumbnail").count()).toBeLessThan(15);
  await page.evaluate(() => {
    const touched = new Set<string>();
    Object.assign(window, { touched });
    const list = document.querySelector('[data-testid="session-list"] ul');
    new MutationObserver((records) => {
      for (const { target } of records) {
        const element = target instanceof Element ? target : target.parentElement;
        // A row that grows pushes the last one off the screen, which loses its picture.
        if (element?.matches(".thumbnail")) continue;
        touched.add(element?.closest<HTMLElement>("li")?.dataset["row"] ?? "the list");
      }
    }).observe(list as Node, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  const touched = (): Promise<string[]> => page.evaluate(() => [...(window as unknown as { touched: Set<string> }).touched]);
  // The shells have said all they say at their start, and their rows were read.
  await expect(async () => {
    await page.evaluate(() => (window as unknown as { touched: Set<string> }).touched.clear());
    await page.waitForTimeout(2_500);
    expect(await touched()).toEqual([]);
  }).toPass({ timeout: 30_000 });
  await says(baton, changed, "\\a");
  await expect(row(page, changed).getByTestId("mark-bell")).toBeVisible();
  expect(await touched()).toEqual([changed]);
  // Scrolled to: painted there, and no more there.
  await row(page, changed).getByTestId("session-item").focus();
  await page.keyboard.press("End");
  await expect(page.getByTestId("session-item").last()).toBeFocused();
  await expect(page.locator("li[data-row]").last().getByTestId("thumbnail")).toBeVisible();
  await expect.poll(() => page.getByTestId("thumbnail").count()).toBeLessThan(15);
  await expect(row(page, changed).getByTestId("thumbnail")).toHaveCount(0);
});

test("on a phone the list is a drawer with room for a finger", async ({ baton, page }) => {
  const session = await baton.shell("small");
  await page.setViewportSize({ width: 375, height: 812 });
  await open(page, baton);
  await page.getByRole("button", { name: "Show the sessions" }).click();
  await expect(row(page, session).getByTestId("thumbnail")).toHaveAttribute("data-drawn", "true");
  for (const name of ["open-palette", "notify-settings", "row-menu", "new-session"]) {
    await expectRoomForFinger(page.getByTestId(name));
  }
  await row(page, session).getByTestId("row-menu").click();
  await expect(page.getByTestId("do-rename")).toBeFocused();
  await expectRoomForFinger(page.getByTestId("do-rename"));
  await noViolations(page);
  await page.keyboard.press("Escape");
  await row(page, session).getByTestId("session-item").click();
  await expect(page.getByRole("button", { name: "Show the sessions" })).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375);
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`nothing of the list is out of reach (${colorScheme})`, async ({ baton, page }) => {
    const session = await baton.shell("looked at", { labels: { ticket: "42" } });
    const rung = await baton.shell("rings");
    await baton.shell("failed", { command: ["sh", "-c", "exit 3"], sandbox: "workspace" });
    await page.emulateMedia({ colorScheme });
    await open(page, baton, session);
    await says(baton, rung, "\\a", "\\e]9;done\\a");
    await expect(row(page, rung).getByTestId("mark-message")).toBeVisible();
    await noViolations(page);
    await page.getByTestId("notify-settings").click();
    await noViolations(page);
    await page.keyboard.press("Escape");
    await page.getByTestId("new-session-options").click();
    await page.getByText("Confinement and limits").click();
    await noViolations(page);
    await page.keyboard.press("Escape");
    await row(page, session).hover();
    await row(page, session).getByTestId("row-menu").click();
    await page.getByTestId("do-labels").click();
    await noViolations(page);
  });
}
