/** The page stays open while what is behind it dies, is cut off, or comes back: nothing is lost and nothing comes twice. */

import type { Page } from "@playwright/test";
import type { Baton } from "./support/baton";
import { claim, expect, live, online, open, rows, shows, test } from "./support/test";

const LINES = 4_000;

/** A shell that waits for a key, then prints numbered lines for some seconds. */
function counter(baton: Baton): Promise<string> {
  const script = `read -r _; i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo "line $i of it"; [ $((i % 40)) = 0 ] && sleep 0.05; done; echo all told`;
  return baton.shell("counting", { command: ["bash", "--norc", "--noprofile", "-c", `${script}; exec cat`] });
}

/** Says that the page was never loaded anew: a reload would forget it. */
async function mark(page: Page): Promise<void> {
  await page.evaluate(() => void Object.assign(window, { sameDocument: true }));
}

async function sameDocument(page: Page): Promise<boolean> {
  return page.evaluate(() => "sameDocument" in window);
}

function numbers(text: string): number[] {
  return [...text.matchAll(/line (\d+) of it/g)].map(([, digits]) => Number(digits));
}

const ALL = Array.from({ length: LINES }, (_, index) => index + 1);

/** The journal's whole output, read in pages. */
async function journal(baton: Baton, session: string): Promise<string> {
  let text = "";
  let cursor: string | null = null;
  for (;;) {
    const query: string = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    const response: Response = await fetch(`${baton.url}/v1/terminal/sessions/${session}/output${query}`, { headers: { Authorization: `Bearer ${baton.token}` } });
    expect(response.status).toBe(200);
    const part = Buffer.from(await response.arrayBuffer()).toString();
    const next = response.headers.get("Baton-Cursor");
    if (part === "" || next === cursor) return text;
    text += part;
    cursor = next;
  }
}

/** What the page keeps is what the journal has, each line once and in order. */
async function nothingIsMissing(page: Page, baton: Baton, session: string): Promise<void> {
  await expect.poll(() => page.evaluate(() => window.batonTest?.allLines().includes("all told") ?? false), { timeout: 60_000 }).toBe(true);
  const shown = await page.evaluate(() => window.batonTest?.allLines() ?? "");
  const kept = await journal(baton, session);
  expect(numbers(shown)).toEqual(ALL);
  expect(shown.trimEnd()).toBe(kept.replaceAll("\r\n", "\n").trimEnd());
}

async function reached(page: Page, line: number): Promise<void> {
  await expect.poll(async () => numbers(await page.evaluate(() => window.batonTest?.allLines() ?? "")).at(-1) ?? 0, { timeout: 30_000 }).toBeGreaterThanOrEqual(line);
}

for (const who of ["bridge", "sessiond"] as const) {
  test(`${who} is killed under output, and the page goes on by itself`, async ({ baton, page }) => {
    const session = await counter(baton);
    await open(page, baton, session);
    await mark(page);
    await claim(page);
    await page.keyboard.press("Enter");
    await reached(page, LINES / 5);
    await baton.kill(who);
    await baton.serving();
    await nothingIsMissing(page, baton, session);
    await live(page);
    // What is typed after it arrives, once.
    await page.keyboard.type("still here\n");
    await shows(page, /still here\nstill here/);
    expect((await rows(page)).match(/still here/g)).toHaveLength(2);
    await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    expect(await sameDocument(page)).toBe(true);
  });
}

test("the session's worker is killed under output, and another takes it over", async ({ baton, page }) => {
  const session = await counter(baton);
  await open(page, baton, session);
  await mark(page);
  await claim(page);
  await page.keyboard.press("Enter");
  await reached(page, LINES / 5);
  const { worker_pid, pid } = await baton.api<{ worker_pid: number; pid: number }>("GET", `/v1/sessions/${session}`);
  process.kill(worker_pid, "SIGKILL");
  await nothingIsMissing(page, baton, session);
  const after = await baton.api<{ worker_pid: number; pid: number }>("GET", `/v1/sessions/${session}`);
  expect(after.worker_pid).not.toBe(worker_pid);
  expect(after.pid).toBe(pid);
  expect(await sameDocument(page)).toBe(true);
});

test("offline and online again: what was printed meanwhile is there, what was typed blind is not typed twice", async ({ baton, way, page }) => {
  const session = await counter(baton);
  await open(page, baton, session, way);
  await mark(page);
  await claim(page);
  await page.keyboard.press("Enter");
  await reached(page, LINES / 5);
  // The browser says it is offline, and the connections that it has break.
  await online(page, false);
  way.cut();
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", /reconnecting|offline/);
  await expect(page.getByTestId("lease-state")).toContainText("You had control when the connection dropped");
  await expect(page.getByTestId("release")).toHaveCount(0);
  await expect.poll(async () => numbers(await journal(baton, session)).at(-1)).toBeGreaterThan(LINES / 3);
  way.mend();
  await online(page, true);
  await nothingIsMissing(page, baton, session);
  await live(page);
  await page.keyboard.type("back again\n");
  await shows(page, /back again\nback again/);
  expect((await rows(page)).match(/back again/g)).toHaveLength(2);
  expect(await sameDocument(page)).toBe(true);
});

for (const held of ["everything", "answers"] as const) {
  test(`keys whose ${held === "answers" ? "acknowledgement" : "way"} breaks off are typed once`, async ({ baton, way, page }) => {
    const session = await baton.shell("one key", { command: ["cat"] });
    await open(page, baton, session, way);
    await claim(page);
    await page.keyboard.type("before ");
    await shows(page, "before");
    way.hold(held);
    await page.keyboard.type("between");
    if (held === "answers") await expect.poll(() => journal(baton, session)).toContain("between");
    way.cut();
    way.mend();
    await shows(page, "before between");
    await live(page);
    await page.keyboard.type(" after\n");
    await shows(page, "before between after\nbefore between after");
  });
}

test("without a bridge the page says so, opens nevertheless, and signs in when it is back", async ({ baton, way, page }) => {
  await open(page, baton, await baton.shell("kept"), way);
  await page.evaluate(async () => void (await navigator.serviceWorker.ready));
  way.cut();
  await page.reload();
  await expect(page.getByRole("main")).toContainText("The bridge does not answer.");
  way.mend();
  await live(page);
  await shows(page, "$");
});

test("the service worker keeps the page's files only, and the bridge's page comes first", async ({ baton, page }) => {
  await open(page, baton, await baton.shell("kept"));
  await page.evaluate(async () => void (await navigator.serviceWorker.ready));
  // Now it controls the page: everything goes by it.
  await page.reload();
  await live(page);
  await expect.poll(() => page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);
  const kept = await page.evaluate(async () => {
    const cache = await caches.open("baton-page-1");
    // A page of another version, as if the bridge had been upgraded since.
    const paths = (await cache.keys()).map(({ url }) => new URL(url).pathname);
    await cache.put("/", new Response("<title>stale</title>", { headers: { "Content-Type": "text/html" } }));
    return paths;
  });
  expect(kept).toContain("/");
  expect(kept.filter((path) => path !== "/" && !path.startsWith("/assets/"))).toEqual([]);
  await page.reload();
  await live(page);
  expect(await page.title()).not.toBe("stale");
});

test("ten tabs on one session: one screen, one owner, and control goes round", async ({ baton, page, context }) => {
  test.setTimeout(180_000);
  const session = await baton.shell("ten", { command: ["cat"] });
  await open(page, baton, session);
  const tabs = [page];
  while (tabs.length < 10) {
    const tab = await context.newPage();
    await tab.goto(`${baton.url}/#session=${session}`);
    await live(tab);
    tabs.push(tab);
  }
  await claim(page);
  let said = "";
  for (const [index, tab] of tabs.entries()) {
    await expect(tab.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await tab.bringToFront();
    await tab.getByTestId("terminal").click();
    await tab.keyboard.type(`tab ${index}\n`);
    said += `tab ${index}\ntab ${index}\n`;
    await shows(tab, `tab ${index}\ntab ${index}`);
    const next = tabs[(index + 1) % tabs.length] ?? page;
    const id = await next.evaluate(() => sessionStorage.getItem("baton.client_id") ?? "");
    await tab.getByTestId("give-to").click();
    await tab.locator(`[data-testid="give-to-client"][data-client="${id}"]`).click();
    await expect(tab.getByTestId("lease-state")).toHaveAttribute("data-state", "held");
  }
  for (const tab of tabs) await shows(tab, said.trimEnd());
  const states = await Promise.all(tabs.map((tab) => tab.getByTestId("lease-state").getAttribute("data-state")));
  expect(states.filter((state) => state === "mine")).toHaveLength(1);
  const attached = (): Promise<number> => baton.api<{ clients: unknown[] }>("GET", `/v1/sessions/${session}`).then(({ clients }) => clients.length);
  expect(await attached()).toBe(10);
  // The owner's tab goes last.
  for (const [index, tab] of tabs.slice(1).entries()) {
    await tab.close({ runBeforeUnload: true });
    await expect.poll(attached).toBe(9 - index);
  }
  await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
});
