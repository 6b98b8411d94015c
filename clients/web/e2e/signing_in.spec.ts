/** Who signs in after whom, in one tab. */

import { Agent } from "./support/agent";
import { claim, expect, live, open, test } from "./support/test";

test("somebody else signs in where somebody was: another client, and the first one's control is not theirs", async ({ baton, page }) => {
  const session = await baton.shell("of the first");
  const token = await baton.person("second");
  await open(page, baton, session);
  await claim(page);
  const id = (): Promise<string | null> => page.evaluate(() => sessionStorage.getItem("baton.client_id"));
  const first = await id();
  await page.reload();
  await live(page);
  expect(await id()).toBe(first);

  await page.getByTestId("settings-menu").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByTestId("login-token").fill(token);
  await page.getByTestId("login-submit").click();
  await live(page);
  expect(await id()).not.toBe(first);
  await expect(page.getByTestId("lease-state")).not.toHaveAttribute("data-state", "mine");
});

test("an agent's token is told in words that it opens no terminal", async ({ baton, page }) => {
  const { session, token } = await Agent.start(baton);
  await page.goto(`${baton.url}/#session=${session}`);
  await page.getByTestId("login-token").fill(token);
  await page.getByTestId("login-submit").click();
  await expect(page.getByTestId("connection-state")).toHaveText("An agent's token opens no terminal here: sign in as a person");
  await expect(page.getByTestId("notice")).toHaveCount(0);
});
