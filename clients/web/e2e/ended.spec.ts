/** What is offered once a session has ended. */

import { expect, open, test } from "./support/test";

test("a session is removed, with its recording, only after a question", async ({ baton, page }) => {
  const session = await baton.shell("kept", { command: ["bash", "-c", "echo worth keeping; exit 3"] });
  await page.goto(await baton.link(session));
  const banner = page.getByTestId("exit-banner");
  await expect(banner).toContainText("Ended with exit code 3");
  await banner.getByRole("button", { name: "Remove from list" }).click();
  await expect(page.getByRole("dialog")).toContainText("Its recording goes with it");
  await page.keyboard.press("Escape");
  expect((await baton.ask("GET", `/v1/sessions/${session}`)).status).toBe(200);
  await banner.getByRole("button", { name: "Remove from list" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
  await expect(page.locator(`[data-session-id="${session}"]`)).toHaveCount(0);
  expect((await baton.ask("GET", `/v1/sessions/${session}`)).status).toBe(404);
});

test("a session that was closed is not offered a start that would be refused", async ({ baton, page }) => {
  const session = await baton.shell("closed");
  await open(page, baton, session);
  await page.getByTestId("session-menu").click();
  await page.getByTestId("close-session").click();
  await page.getByRole("dialog").getByRole("button", { name: "Close session" }).click();
  await expect(page.locator(`[data-session-id="${session}"]`)).toHaveAttribute("data-status", "closed");
  const banner = page.getByTestId("exit-banner");
  await expect(banner).toContainText("Closed (from the page).");
  await expect(banner.getByRole("button", { name: "Remove from list" })).toBeVisible();
  await expect(banner.getByRole("button", { name: "Start again" })).toHaveCount(0);
});
