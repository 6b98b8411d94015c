/** Control goes from a terminal to a tab, to another, and back, with a vim that notices nothing. */

import { claim, expect, open, shows, test } from "./support/test";

test("a live vim goes from the command line to the page, to a second one, and back", async ({ baton, terminal, page, browser }) => {
  const session = await baton.shell("handed on");
  const cli = await terminal("attach", "handed on");
  await cli.shows("$");
  await cli.type("vim -u NONE -N -i NONE poem\n");
  await cli.shows("~");
  await cli.type("ione from the command line");
  await cli.shows("one from the command line");
  await open(page, baton, session);
  await shows(page, "one from the command line");

  await page.getByTestId("take-control").click();
  await page.getByRole("dialog").getByRole("button", { name: "Take control" }).click();
  await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
  await page.getByTestId("terminal").click();
  await page.keyboard.press("Enter");
  await page.keyboard.type("two from the page");
  await shows(page, "two from the page");
  await cli.shows("two from the page");

  const second = await browser.newPage();
  await open(second, baton, session);
  await page.getByTestId("release").click();
  await claim(second);
  await second.keyboard.press("Enter");
  await second.keyboard.type("three from another page");
  await shows(page, "three from another page");
  await second.getByTestId("release").click();
  await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "free");

  await cli.press("Enter");
  await cli.type("four from the command line");
  await cli.press("Escape");
  await shows(page, /one from the command line\ntwo from the page\nthree from another page\nfour from the command line/);
  await shows(second, "four from the command line");
});
