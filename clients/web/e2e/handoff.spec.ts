/** Control goes from a terminal to a tab, to another, and back, with a vim that notices nothing. */

import type { Browser, Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import type { Way } from "./support/way";
import { claim, expect, open, openAs, rows, shows, test, type Fixtures } from "./support/test";

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

test.describe("between people", () => {
  /** Ana's page has control of a shell; Ben's watches it. */
  async function two({ baton, page, browser }: Pick<Fixtures, "baton"> & { page: Page; browser: Browser }, by?: Way): Promise<{ session: string; ana: Page; ben: Page }> {
    const session = await baton.shell("between");
    await open(page, baton, session, by);
    await claim(page);
    const ben = await (await browser.newContext()).newPage();
    await openAs(ben, baton, await baton.person("Ben"), session);
    return { session, ana: page, ben };
  }

  test("a claim that comes too late is refused, and the page says who has control", async ({ baton, way, page, browser }) => {
    const session = await baton.shell("contested");
    const late = page;
    await open(late, baton, session, way);
    await expect(late.getByTestId("lease-state")).toHaveAttribute("data-state", "free");
    // What this page sees stands still, and another takes the free lease.
    way.hold();
    const ben = await (await browser.newContext()).newPage();
    await openAs(ben, baton, await baton.person("Ben"), session);
    await claim(ben);
    await late.getByTestId("terminal").click();
    await late.keyboard.type("x");
    way.flow();
    await expect(late.getByTestId("held-hint")).toContainText("Ben · web has control. What you typed was not sent.");
    await expect(late.getByTestId("lease-state")).toContainText("Ben · web has control");
    expect(await rows(ben)).not.toContain("x");
    const owner = await baton.api<{ lease: { owner_name: string } }>("GET", `/v1/sessions/${session}`);
    expect(owner.lease.owner_name).toBe("Ben");
  });

  test("asked for and given", async ({ baton, page, browser }) => {
    const { ana, ben } = await two({ baton, page, browser });
    await ben.getByTestId("ask-control").click();
    await expect(ben.getByTestId("ask-control")).toContainText("Asked, waiting");
    await expect(ana.getByTestId("control-request")).toContainText("Ben asks for control.");
    await ana.getByTestId("give-control").click();
    await expect(ben.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(ben.getByTestId("notice")).toContainText("gave you control, as you asked.");
    await expect(ana.getByTestId("notice")).toContainText("You gave control to Ben · web.");
    await expect(ana.getByTestId("control-request")).toHaveCount(0);
    // It was given: nobody took anything.
    await expect(ana.getByTestId("taken-banner")).toHaveCount(0);
    await ben.getByTestId("terminal").click();
    await ben.keyboard.type("echo ben$((1+1))\n");
    await shows(ana, "ben2");
  });

  test("asked for and denied", async ({ baton, page, browser }) => {
    const { ana, ben } = await two({ baton, page, browser });
    await ben.getByTestId("ask-control").click();
    await ana.getByTestId("deny-control").click();
    await expect(ben.getByTestId("notice")).toContainText("said no, and keeps control.");
    await expect(ben.getByTestId("ask-control")).toBeEnabled();
    await expect(ana.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(ana.getByTestId("control-request")).toHaveCount(0);
  });

  test("asked for and not answered: after a minute that is said, and one may ask again", async ({ baton, page, browser }) => {
    // The minute is the worker's, and nothing shortens it.
    test.setTimeout(150_000);
    const { ana, ben } = await two({ baton, page, browser });
    await ben.getByTestId("ask-control").click();
    await expect(ana.getByTestId("control-request")).toBeVisible();
    await expect(ben.getByTestId("notice")).toContainText("Nobody answered your request for control.", { timeout: 75_000 });
    await expect(ben.getByTestId("ask-control")).toBeEnabled();
    await expect(ana.getByTestId("control-request")).toHaveCount(0);
    await expect(ana.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
  });

  test("given to one of those who watch, by a list with names, kinds and windows", async ({ baton, page, browser, terminal }) => {
    const { ana, ben } = await two({ baton, page, browser });
    const cli = await terminal("attach", "-r", "between");
    await cli.shows("$");
    await expect(ana.getByTestId("watchers")).toContainText("2 watching");
    await ana.getByTestId("watchers").click();
    await expect(ana.getByTestId("people")).toContainText("Ben · web");
    await expect(ana.getByTestId("people")).toContainText("· cli");
    await expect(ana.getByTestId("people")).toContainText("Window 100 × ");
    await expect(ana.getByTestId("owner-line")).toContainText(/You have control since \d/);
    await ben.getByTestId("watchers").click();
    await expect(ben.getByTestId("people")).toContainText("Ben · web (this tab)");
    // Ben came later: the session's record says since when.
    await expect(ben.getByTestId("owner-line")).toContainText(/has control since \d/);
    await ana.keyboard.press("Escape");
    await ana.getByTestId("give-to").click();
    await ana.getByTestId("give-to-client").filter({ hasText: "Ben · web" }).click();
    await expect(ben.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(ben.getByTestId("notice")).toContainText("gave you control.");
  });

  test("taken by force: a warning before, a banner for the loser with what it cost, and the way back", async ({ baton, way, page, browser }) => {
    const { session, ana, ben } = await two({ baton, page, browser }, way);
    way.hold();
    await ana.keyboard.type("seven b");
    await ben.getByTestId("take-control").click();
    const warning = ben.getByRole("dialog");
    await expect(warning).toContainText("what they type from then on is not sent");
    await warning.getByRole("button", { name: "Take control" }).click();
    await expect(ben.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    way.flow();
    const banner = ana.getByTestId("taken-banner");
    await expect(banner).toContainText(/Ben · web took control at \d/);
    await expect(ana.getByTestId("taken-dropped")).toContainText("7 bytes you typed were not sent.");
    await ana.keyboard.type("abc");
    await expect(ana.getByTestId("taken-dropped")).toContainText("10 bytes you typed were not sent.");
    const output = await baton.api<string>("GET", `/v1/terminal/sessions/${session}/snapshot?format=json`).then((screen) => JSON.stringify(screen));
    expect(output).not.toContain("seven");
    expect(output).not.toContain("abc");

    await ana.getByTestId("take-back").click();
    await ana.getByRole("dialog").getByRole("button", { name: "Take control" }).click();
    await expect(banner).toHaveCount(0);
    await expect(ana.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(ben.getByTestId("taken-banner")).toBeVisible();
    await ben.getByTestId("taken-dismiss").click();
    await expect(ben.getByTestId("taken-banner")).toHaveCount(0);
  });

  test("everything by the keyboard: to the bar, through the warning, and typing at once", async ({ baton, page, browser }) => {
    const { ana, ben } = await two({ baton, page, browser });
    await ben.keyboard.press("Control+F6");
    for (let steps = 0; steps < 30 && !(await ben.getByTestId("take-control").evaluate((button) => button === document.activeElement)); steps++) await ben.keyboard.press("Tab");
    await expect(ben.getByTestId("take-control")).toBeFocused();
    await ben.keyboard.press("Enter");
    // The careful answer comes first.
    await expect(ben.getByRole("dialog").getByRole("button", { name: "Cancel" })).toBeFocused();
    await ben.keyboard.press("Tab");
    await ben.keyboard.press("Enter");
    await expect(ben.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await ben.keyboard.type("echo by ke\\y\n");
    await shows(ana, "by key");
  });

  for (const colorScheme of ["dark", "light"] as const) {
    test(`nothing in the way of anybody, ${colorScheme}`, async ({ baton, page, browser }) => {
      await page.emulateMedia({ colorScheme });
      const { ana, ben } = await two({ baton, page, browser });
      await ben.emulateMedia({ colorScheme });
      await ben.getByTestId("ask-control").click();
      await expect(ana.getByTestId("control-request")).toBeVisible();
      await noViolations(ana);
      await ana.getByTestId("watchers").click();
      await noViolations(ana);
      await ben.getByTestId("terminal").click();
      await ben.keyboard.type("x");
      await expect(ben.getByTestId("held-hint")).toBeVisible();
      await noViolations(ben);
      await ben.getByTestId("take-control").click();
      await noViolations(ben);
      await ben.getByTestId("confirm").click();
      await expect(ana.getByTestId("taken-banner")).toBeVisible();
      await noViolations(ana);
    });
  }
});

test.describe("when the owner is gone", () => {
  test.use({ configuration: { BATON_SESSION__LEASE_TTL_S: "3" } });

  test("who asked gets control when the time is up", async ({ baton, page, terminal }) => {
    const session = await baton.shell("left behind");
    const cli = await terminal("attach", "left behind");
    await cli.shows("$");
    await open(page, baton, session);
    await expect(page.getByTestId("lease-state")).toContainText("· cli has control");
    await cli.crash();
    await expect(page.getByTestId("lease-state")).toContainText("lost the connection");
    await page.getByTestId("ask-control").click();
    await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(page.getByTestId("notice")).toContainText("is away: you have control, as you asked.");
  });

  test("it is shown as away, and a key takes it without force", async ({ baton, page, terminal }) => {
    const session = await baton.shell("left behind");
    const cli = await terminal("attach", "left behind");
    await cli.shows("$");
    await open(page, baton, session);
    await cli.crash();
    await expect(page.getByTestId("lease-state")).toContainText("is away — type to take control");
    await expect(page.getByTestId("take-control")).toHaveCount(0);
    await page.getByTestId("terminal").click();
    await page.keyboard.type("echo here$((2+3))\n");
    await shows(page, "here5");
    await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
  });
});

test.describe("an agent's session", () => {
  /** An agent with control of a shell of its own. */
  async function atWork(baton: Baton): Promise<{ session: string; token: string; client: string }> {
    const token = await baton.agent("fixer");
    const { session_id: session } = await baton.api<{ session_id: string }>("POST", "/v1/terminal/sessions", { title: "fixing", command: ["cat"], cols: 100, rows: 30, agent_input: "direct" }, token);
    const client = "agent:fixer";
    await baton.api("POST", `/v1/terminal/sessions/${session}/claim`, { client_id: client }, token);
    return { session, token, client };
  }

  test("a person takes control of it without force, and is asked nothing", async ({ baton, page }) => {
    const { session } = await atWork(baton);
    await open(page, baton, session);
    await expect(page.getByTestId("lease-state")).toContainText("fixer · agent is at work");
    await page.getByTestId("take-control").click();
    await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(page.getByRole("dialog")).toHaveCount(0);
  });

  test("what it types can be held: read, released, or discarded", async ({ baton, page }) => {
    const { session, token, client } = await atWork(baton);
    await open(page, baton, session);
    await page.getByTestId("session-menu").click();
    await page.getByTestId("hold-agent-input").click();
    await expect.poll(async () => (await baton.api<{ agent_input: string }>("GET", `/v1/sessions/${session}`)).agent_input).toBe("held");
    const types = (text: string): Promise<{ status: number }> => baton.ask("POST", `/v1/terminal/sessions/${session}/input`, { client_id: client, text }, token);

    expect((await types("harmless\u202e words\r")).status).toBe(202);
    await expect(page.getByTestId("held-preview")).toHaveText("harmless\\u{202e} words⟨⏎⟩");
    await expect(page.getByTestId("held-input")).toContainText("fixer · agent");
    await noViolations(page);
    expect(await rows(page)).not.toContain("harmless");
    await page.getByTestId("held-release").click();
    await shows(page, "harmless");
    await expect(page.getByTestId("held-input")).toHaveCount(0);

    expect((await types("unwanted\r")).status).toBe(202);
    await expect(page.getByTestId("held-preview")).toHaveText("unwanted⟨⏎⟩");
    await page.getByTestId("held-discard").click();
    await expect(page.getByTestId("held-input")).toHaveCount(0);
    await page.getByTestId("session-menu").click();
    await page.getByTestId("hold-agent-input").click();
    await expect.poll(async () => (await baton.api<{ agent_input: string }>("GET", `/v1/sessions/${session}`)).agent_input).toBe("direct");
    expect(await rows(page)).not.toContain("unwanted");
  });
});
