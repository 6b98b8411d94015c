/** `test` with a Baton of its own, and the few things that every test does with the page. */

import { expect, test as base, type Page } from "@playwright/test";
import { Baton } from "./baton";
import { Shell } from "./shell";

interface Fixtures {
  /** Configuration keys for this file's Baton: `test.use({ configuration: { BATON_APPROVAL__TTL_S: "5" } })`. */
  configuration: Record<string, string>;
  baton: Baton;
  /** Opens a terminal beside the page; it ends with the test. */
  terminal: (...args: string[]) => Promise<Shell>;
}

export const test = base.extend<Fixtures>({
  configuration: [{}, { option: true }],
  baton: async ({ configuration }, use) => {
    const baton = await Baton.start(configuration);
    try {
      await use(baton);
    } finally {
      await baton.end();
    }
  },
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

/** Signs this page in; with a session, shows it and waits until its stream is live. */
export async function open(page: Page, baton: Baton, session?: string): Promise<void> {
  await page.goto(await baton.link(session));
  await expect(page.getByTestId("session-list")).toBeAttached();
  if (session) await live(page);
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
