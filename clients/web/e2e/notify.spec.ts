/** Notifications of the browser: asked for by a press alone, of what nobody looks at, and never many. */

import type { Page } from "@playwright/test";
import { row, says } from "./support/list";
import { expect, open, test } from "./support/test";

interface Told {
  title: string;
  body: string;
  at: number;
}

/** Keeps what the page tells, and whether it asked; the browser itself shows nothing here. */
async function spy(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const told: { title: string; body: string; at: number; press: () => void }[] = [];
    const state = { told, asked: 0 };
    const Real = window.Notification;
    class Spied extends EventTarget {
      static get permission() { return Real.permission; }
      static requestPermission() { state.asked += 1; return Real.requestPermission(); }
      onclick: (() => void) | null = null;
      constructor(title: string, options: NotificationOptions) {
        super();
        told.push({ title, body: options.body ?? "", at: performance.now(), press: () => this.onclick?.() });
      }
      close(): void {}
    }
    Object.assign(window, { Notification: Spied, told: state });
  });
}

const told = (page: Page): Promise<Told[]> => page.evaluate(() => (window as unknown as { told: { told: Told[] } }).told.told.map(({ title, body, at }) => ({ title, body, at })));

async function turnOn(page: Page): Promise<void> {
  await page.getByTestId("notify-settings").click();
  await page.getByTestId("notifications-on").check();
  await page.getByTestId("long-seconds").fill("1");
  await page.getByTestId("long-seconds").blur();
  await page.keyboard.press("Escape");
}

test("a bell, a message and a long command notify, with the name and a short text, and a press opens the session", async ({ baton, page, context }) => {
  await context.grantPermissions(["notifications"]);
  await spy(page);
  const looked = await baton.shell("looked at");
  const [rung, said, worked] = [await baton.shell("rings"), await baton.shell("says"), await baton.shell("works")];
  await open(page, baton, looked);
  // Off until somebody turns them on.
  await says(baton, rung, "\\a");
  await expect(row(page, rung).getByTestId("mark-bell")).toBeVisible();
  await turnOn(page);
  await says(baton, said, "secret-output\\n\\e]9;deploy is done\\a");
  await expect.poll(() => told(page)).toMatchObject([{ title: "says", body: "deploy is done" }]);
  await baton.type(worked, "printf '\\e]133;C\\a'; sleep 1.2; printf '\\e]133;D;2\\a'\n");
  await expect.poll(() => told(page)).toHaveLength(2);
  const [, command] = await told(page);
  expect(command?.title).toBe("works");
  expect(command?.body).toMatch(/^A command failed with exit code 2 after 1\.\d s$/);

  await page.evaluate(() => (window as unknown as { told: { told: { press(): void }[] } }).told.told[0]?.press());
  await expect(row(page, said).getByTestId("session-item")).toHaveAttribute("aria-current", "true");
  // What is looked at tells nothing; the same with the page out of sight does.
  await says(baton, said, "\\e]9;looked at\\a");
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await says(baton, rung, "\\e]9;later\\a");
  await expect.poll(async () => (await told(page)).map(({ body }) => body)).toContain("later");
  expect((await told(page)).map(({ body }) => body)).not.toContain("looked at");
});

test("a kind that is not wanted is not told, and permission is asked for by a press alone", async ({ baton, page, context }) => {
  await context.grantPermissions(["notifications"]);
  await spy(page);
  const looked = await baton.shell("looked at");
  const [rung, said] = [await baton.shell("rings"), await baton.shell("says")];
  await open(page, baton, looked);
  expect(await page.evaluate(() => (window as unknown as { told: { asked: number } }).told.asked)).toBe(0);
  await turnOn(page);
  await page.getByTestId("notify-settings").click();
  await page.getByTestId("notify-bell").uncheck();
  await page.keyboard.press("Escape");
  await says(baton, rung, "\\a");
  await expect(row(page, rung).getByTestId("mark-bell")).toBeVisible();
  await says(baton, said, "\\e]9;said\\a");
  await expect.poll(() => told(page)).toMatchObject([{ title: "says" }]);
  await page.reload();
  await page.getByTestId("notify-settings").click();
  await expect(page.getByTestId("notifications-on")).toBeChecked();
  await expect(page.getByTestId("notify-bell")).not.toBeChecked();
});

test("a program that rings without end is told of every five seconds at most", async ({ baton, page, context }) => {
  await context.grantPermissions(["notifications"]);
  await spy(page);
  const looked = await baton.shell("looked at");
  const rings = await baton.shell("rings");
  await open(page, baton, looked);
  await turnOn(page);
  await baton.type(rings, "for i in $(seq 1000); do printf '\\a'; sleep 0.007; done; printf '\\e]9;over\\a'\n");
  await expect(row(page, rings).getByTestId("mark-message")).toHaveText("over", { timeout: 30_000 });
  const bells = await told(page);
  expect(bells.length).toBeGreaterThanOrEqual(1);
  for (const [index, { at }] of bells.entries()) if (index > 0) expect(at - (bells[index - 1]?.at ?? 0)).toBeGreaterThanOrEqual(5_000);
});
