/** `test` with a Baton of its own, and the few things that every test does with the page. */

import { expect, test as base, type Page } from "@playwright/test";
import { Baton } from "./baton";
import { Way } from "./way";
import { Shell } from "./shell";

export interface Fixtures {
  /** Configuration keys for this file's Baton: `test.use({ configuration: { BATON_APPROVAL__TTL_S: "5" } })`. */
  configuration: Record<string, string>;
  baton: Baton;
  /** A way to the bridge that a test can hold up and cut: `way.by(url)`. */
  way: Way;
  /** Windows that a test opened beside its own end with it: their pages would look for their Baton until the last test's end. */
  ownWindows: undefined;
  /** Opens a terminal beside the page; it ends with the test. */
  terminal: (...args: string[]) => Promise<Shell>;
}

/** `BATON_E2E_SLOW=6`: the page has a sixth of the processor, which finds what a fast machine hides between two tasks. */
const SLOWDOWN = Number(process.env["BATON_E2E_SLOW"] ?? 1);

export const test = base.extend<Fixtures>({
  page: async ({ page }, use) => {
    if (SLOWDOWN > 1) await (await page.context().newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: SLOWDOWN });
    await use(page);
  },
  configuration: [{}, { option: true }],
  way: async ({}, use) => {
    const way = await Way.listen();
    await use(way);
    await way.end();
  },
  baton: async ({ configuration, way }, use) => {
    const baton = await Baton.start({ BATON_SERVER__ALLOWED_HOSTS: JSON.stringify([way.host]), ...configuration });
    way.to(baton.url);
    try {
      await use(baton);
    } finally {
      await baton.end();
    }
  },
  ownWindows: [async ({ browser, context }, use) => {
    await use(undefined);
    for (const other of browser.contexts()) if (other !== context) await other.close();
  }, { auto: true }],
  terminal: async ({ baton }, use) => {
    const shells: Shell[] = [];
    await use(async (...args) => {
      const shell = await Shell.run(baton, ...args);
      shells.push(shell);
      return shell;
    });
    await Promise.all(shells.map((shell) => shell.end()));
  },
});

export { expect };

/** Signs this page in; with a session, shows it and waits until its stream is live. `by` leads it another way. */
export async function open(page: Page, baton: Baton, session?: string, by?: Way): Promise<void> {
  const link = await baton.link(session);
  await page.goto(by ? by.by(link) : link);
  await expect(page.getByTestId("session-list")).toBeAttached();
  if (session) await live(page);
}

/** The same as the holder of this token, who types it in. */
export async function openAs(page: Page, baton: Baton, token: string, session: string): Promise<void> {
  await page.goto(`${baton.url}/#session=${session}`);
  await page.getByTestId("login-token").fill(token);
  await page.getByTestId("login-submit").click();
  await live(page);
}

export async function live(page: Page): Promise<void> {
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
}

/** Takes a free lease in the page and gives its terminal the keyboard. */
export async function claim(page: Page): Promise<void> {
  await page.getByTestId("claim").click();
  await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
  await page.getByTestId("terminal").click();
}

/** The visible rows of the page's terminal, joined by newlines. */
export function rows(page: Page): Promise<string> {
  return page.evaluate(() => window.batonTest?.text() ?? "");
}

/** Waits until the page's terminal shows this. */
export async function shows(page: Page, text: string | RegExp): Promise<void> {
  if (typeof text === "string") await expect.poll(() => rows(page)).toContain(text);
  else await expect.poll(() => rows(page)).toMatch(text);
}

/** Rows without the blanks that end them, for those who count blanks differently. */
export function trimmed(text: string): string {
  return text.split("\n").map((row) => row.trimEnd()).join("\n").trimEnd();
}

/**
 * What the browser tells the page of its network. Not `setOffline`: on a busy machine that ends Chromium's network service, which
 * holds the cookies of a window like this one, and the page is signed out.
 */
export async function online(page: Page, isOnline: boolean): Promise<void> {
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  await network.send("Network.overrideNetworkState", { offline: !isOnline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await expect.poll(() => page.evaluate(() => navigator.onLine)).toBe(isOnline);
}
