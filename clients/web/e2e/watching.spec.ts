/** Whoever may only watch is offered nothing that would be refused. */

import { noViolations } from "./support/axe";
import { expect, openAs, test } from "./support/test";

test("a viewer is offered no name to change, no end, no keys, and may read larger", async ({ baton, page }) => {
  const session = await baton.shell("only watched");
  const { token } = await baton.api<{ token: string }>("POST", "/v1/auth/tokens", { name: "vic", role: "viewer" });
  await openAs(page, baton, token, session);
  await expect(page.getByRole("heading", { name: "only watched" })).toBeVisible();
  await expect(page.getByTestId("rename")).toHaveCount(0);
  await page.getByTestId("session-menu").click();
  await expect(page.getByTestId("export")).toBeVisible();
  await expect(page.getByTestId("close-session")).toHaveCount(0);
  await page.keyboard.press("Escape");

  await page.setViewportSize({ width: 375, height: 812 });
  const keys = page.getByTestId("key-bar").getByRole("button");
  await expect(keys).toHaveCount(1);
  await keys.click();
  await expect(keys).toHaveText("Fit");
  await noViolations(page);

  await page.setViewportSize({ width: 1440, height: 900 });
  await baton.type(session, "exit\n");
  await expect(page.getByTestId("exit-banner")).toContainText("Ended normally");
  await expect(page.getByTestId("exit-banner").getByRole("button")).toHaveCount(0);
});

test("a session that is not there is said once, in words for people", async ({ baton, page }) => {
  await page.goto(await baton.link());
  await expect(page.getByTestId("session-list")).toBeAttached();
  const answered = page.waitForEvent("websocket", (socket) => socket.url().includes("ses_01a00000"));
  await page.goto(`${baton.url}/#session=ses_01a00000000070008000000000000000`);
  await (await answered).waitForEvent("close");
  await expect(page.getByTestId("exit-banner")).toHaveText("This session no longer exists. ");
  await expect(page.getByTestId("lease-state")).toHaveCount(0);
  await expect(page.getByTestId("notice")).toHaveCount(0);
});
