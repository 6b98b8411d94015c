/** Names and states stand whole where there is room for them, and what a program calls itself hides nothing. */

import type { Locator } from "@playwright/test";
import { Agent } from "./support/agent";
import { row } from "./support/list";
import { expect, live, open, shows, test } from "./support/test";

/** Nothing of it is cut off: a fraction of a pixel that is missing puts dots for two letters. */
async function whole(text: Locator): Promise<void> {
  await expect(text).toBeVisible();
  const beyond = (element: Element): number => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getBoundingClientRect().right - element.getBoundingClientRect().right + parseFloat(getComputedStyle(element).paddingRight);
  };
  await expect.poll(() => text.evaluate(beyond)).toBeLessThan(0.01);
}

test("a session's name is whole beside what confines it, between phone and desk, and after the end", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  await expect(page.getByTestId("sandbox")).toBeVisible();
  await whole(page.getByTestId("rename"));
  // Who has control takes nothing of its state in the list.
  await expect(row(page, agent.session).getByTestId("row-owner")).toHaveText("fixer · agent");
  await whole(row(page, agent.session).getByTestId("row-status"));
  await whole(row(page, agent.session).getByTestId("row-owner"));

  const session = await baton.shell("deploy");
  await page.goto(`${baton.url}/#session=${session}`);
  await expect(page.getByTestId("rename")).toHaveText("deploy");
  await live(page);
  await page.setViewportSize({ width: 812, height: 600 });
  await whole(page.getByTestId("rename"));
  await page.setViewportSize({ width: 375, height: 812 });
  await whole(page.getByTestId("rename"));
  await baton.type(session, "exit 3\n");
  await expect(page.getByTestId("exit-banner")).toContainText("Ended with exit code 3");
  await whole(page.getByTestId("rename"));
});

test("a title that turns its text around is spelled out in the bar", async ({ baton, page }) => {
  const session = await baton.shell("titled", { command: ["bash", "-c", "printf '\\033]0;a\\342\\200\\256gpj.exe\\007ready'; sleep 600"] });
  await open(page, baton, session);
  await shows(page, "ready");
  await expect(page.locator("#top-bar")).toContainText("a\\u{202e}gpj.exe");
});
