/** A person decides in the page what an agent may do: exactly what was shown, once, and never by accident. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { Agent } from "./support/agent";
import { expect, live, open, test } from "./support/test";

/** Opens this request in the page's panel. */
async function review(page: Page, id: string): Promise<void> {
  const button = page.getByTestId("panel-approvals");
  if ((await button.getAttribute("aria-expanded")) !== "true") await button.click();
  if (await page.getByTestId("approval-detail").isVisible()) await page.getByTestId("approval-back").click();
  await page.locator(`[data-approval-id="${id}"]`).click();
  await expect(page.getByTestId("approval-detail")).toHaveAttribute("data-approval-detail", id);
}

async function became(page: Page, status: string): Promise<void> {
  await expect(page.getByTestId("outcome")).toHaveAttribute("data-status", status);
}

/** Counts the decisions that a page sends. */
function decisionsOf(page: Page): () => number {
  let count = 0;
  page.on("request", (request) => (count += Number(request.url().endsWith("/decision"))));
  return () => count;
}

test("what is approved is run once; what waits is counted and told where it is about", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  await expect(page.getByTestId("panel-approvals")).toHaveAccessibleName("Approvals");
  const asked = await agent.asks(agent.counts("yes"));
  await expect(page.getByTestId("approval-strip")).toContainText("fixer asks to run a command: echo yes | tee -a count");
  await expect(page.getByTestId("panel-approvals")).toHaveAccessibleName("Approvals, 1 waiting");
  await expect(page).toHaveTitle("(1) repairs · Baton");
  // What the strip leads to is read before anything is decided.
  await page.getByTestId("review").click();
  await expect(page.getByTestId("approval-payload")).toHaveText("echo yes | tee -a count");
  await expect(page.getByTestId("approval-cwd")).toHaveText(agent.folder);
  await expect(page.getByTestId("approval-names")).toContainText("/tee");
  await expect(page.getByTestId("risk")).toHaveText("Low risk");
  await expect(page.getByTestId("approval-detail")).toContainText("writes to a file");
  await expect(page.getByTestId("approval-detail")).toContainText("ask-tee");
  expect(agent.counted("yes")).toBe(0);
  await page.getByTestId("approve").click();
  await became(page, "executed");
  await expect(page.getByTestId("outcome")).toContainText("exit code 0");
  expect(agent.counted("yes")).toBe(1);
  expect((await agent.end(asked.id)).decision).toBe("approve");
  await expect(page).toHaveTitle("repairs · Baton");
  await expect(page.getByTestId("panel-approvals")).toHaveAccessibleName("Approvals");
  await page.getByTestId("approval-back").click();
  await expect(page.getByTestId("decided-list").getByTestId("approval-row")).toHaveAttribute("data-status", "executed");
});

test("what is denied is never run, and who asked reads the notes", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const answer = agent.waits(agent.counts("no"));
  await page.getByTestId("review").click();
  await page.getByTestId("decision-notes").fill("not today: the tree is frozen");
  await page.getByTestId("deny").click();
  await became(page, "denied");
  const { status, json } = await answer;
  expect([status, json.code]).toEqual([403, "denied"]);
  expect(json.detail).toContain("not today: the tree is frozen");
  await expect(page.getByTestId("outcome")).toContainText("not today: the tree is frozen");
  expect(agent.counted("no")).toBe(0);
});

test("an edit shows what changes, and that is what runs; a riskier one asks for itself, a forbidden one is refused", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const asked = await agent.asks(agent.counts("asked"));
  await review(page, asked.id);
  await page.getByTestId("edit").click();
  await expect(page.getByTestId("edit-text")).toBeFocused();
  await expect(page.getByTestId("edit-send")).toBeDisabled();
  await page.getByTestId("edit-text").fill("shred count");
  await page.getByTestId("edit-send").click();
  await expect(page.getByTestId("decision-failure")).toContainText("nobody shreds here");
  await page.getByTestId("edit-text").fill(agent.counts("edited"));
  await expect(page.getByTestId("edit-diff")).toHaveText("−removed: echo asked | tee -a count+added: echo edited | tee -a count");
  await page.getByTestId("edit-send").click();
  await became(page, "executed");
  expect([agent.counted("asked"), agent.counted("edited")]).toEqual([0, 1]);

  agent.write("tree", "");
  const second = await agent.asks(agent.counts("second"));
  await review(page, second.id);
  await page.getByTestId("edit").click();
  await page.getByTestId("edit-text").fill("rm -rf tree");
  await page.getByTestId("edit-send").click();
  await became(page, "superseded");
  expect(existsSync(join(agent.folder, "tree"))).toBe(true);
  await page.getByTestId("show-successor").click();
  await expect(page.getByTestId("approval-payload")).toHaveText("rm -rf tree");
  await expect(page.getByTestId("changes")).toContainText("removed: echo second | tee -a countadded: rm -rf tree".replace("added", "+added"));
  await page.getByTestId("approve").click();
  await became(page, "executed");
  expect(existsSync(join(agent.folder, "tree"))).toBe(false);
  expect(agent.counted("second")).toBe(0);
});

test("what changed since it was shown is not run; the page says what, and asks again", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  agent.write("deploy.sh", "echo harmless\n");
  const asked = await agent.asks("sh deploy.sh | tee -a count");
  await review(page, asked.id);
  agent.write("deploy.sh", "echo harmful\n");
  await page.getByTestId("approve").click();
  await became(page, "void");
  expect(agent.counted("harmless") + agent.counted("harmful")).toBe(0);
  await expect(page.getByTestId("outcome")).toContainText("Nothing was done");
  await expect(page.getByTestId("changes")).toHaveText(`The file ${join(agent.folder, "deploy.sh")} was changed or replaced since.`);
  await expect(page.getByTestId("approve")).toHaveCount(0);
  await page.getByTestId("show-successor").click();
  // The new one says it too, for whoever did not see the old one.
  await expect(page.getByTestId("what-changed")).toContainText("deploy.sh was changed or replaced since");
  await page.getByTestId("approve").click();
  await became(page, "executed");
  expect([agent.counted("harmless"), agent.counted("harmful")]).toEqual([0, 1]);
});

test("a double click is one decision, and none hits what has just come under the pointer", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const decisions = decisionsOf(page);
  const first = await agent.asks(agent.counts("first"));
  const second = await agent.asks(agent.counts("second"));
  await page.getByTestId("panel-approvals").click();
  await expect(page.getByTestId("approval-row")).toHaveCount(2);
  // The row and then, as fast as a page can, the button that appears.
  const pressed = await page.evaluate(async (id) => {
    document.querySelector<HTMLElement>(`[data-approval-id="${id}"]`)?.click();
    for (;;) {
      const button = document.querySelector<HTMLElement>("[data-testid='approve']");
      if (button) {
        button.click();
        button.click();
        return button.getAttribute("aria-disabled");
      }
      await new Promise(requestAnimationFrame);
    }
  }, first.id);
  expect(pressed).toBe("true");
  await expect(page.getByTestId("approve")).toBeEnabled();
  expect(decisions()).toBe(0);
  await page.getByTestId("approve").dblclick();
  await became(page, "executed");
  expect(decisions()).toBe(1);
  expect(agent.counted("first")).toBe(1);
  expect((await agent.seen(second.id)).status).toBe("pending");
});

test("of two pages that decide at once the second is told who did", async ({ baton, page, browser }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const slow = await browser.newPage();
  await open(slow, baton, agent.session);
  const asked = await agent.asks(agent.counts("both"));
  await review(page, asked.id);
  await review(slow, asked.id);
  // Its decision is on the way while the other one is made.
  let go = (): void => undefined;
  const held = new Promise<void>((resolve) => (go = resolve));
  const sent = slow.waitForRequest("**/decision");
  await slow.route("**/decision", async (route) => {
    await held;
    await route.continue();
  });
  await slow.getByTestId("approve").click();
  await sent;
  await page.getByTestId("deny").click();
  await became(page, "denied");
  go();
  await expect(slow.getByTestId("decision-failure")).toHaveText("It was decided before: your decision did not count.");
  await became(slow, "denied");
  const { decided_by } = await agent.seen(asked.id);
  await expect(slow.getByTestId("outcome")).toContainText(`${decided_by} said no`);
  expect(agent.counted("both")).toBe(0);
});

test("the bridge is killed with a request open in the page: it is still there, and decided after", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const asked = await agent.asks(agent.counts("survives"));
  await review(page, asked.id);
  await page.evaluate(() => Object.assign(window, { sameDocument: true }));
  await baton.kill("bridge");
  await baton.serving();
  await live(page);
  await expect(page.getByTestId("approval-payload")).toHaveText("echo survives | tee -a count");
  // One that is asked while the page may not listen yet.
  const later = await agent.asks(agent.counts("later"));
  await expect(page).toHaveTitle("(2) repairs · Baton");
  await page.getByTestId("approve").click();
  await became(page, "executed");
  expect(agent.counted("survives")).toBe(1);
  await review(page, later.id);
  await page.getByTestId("deny").click();
  await became(page, "denied");
  expect(await page.evaluate(() => "sameDocument" in window)).toBe(true);
});

test("a decision whose answer is lost counts once, and the page finds out", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const asked = await agent.asks(agent.counts("lost"));
  await review(page, asked.id);
  await page.route("**/decision", async (route) => {
    await route.fetch();
    await route.abort("connectionreset");
  });
  await page.getByTestId("approve").click();
  await became(page, "executed");
  await expect(page.getByTestId("decision-failure")).toContainText("is not known");
  expect(agent.counted("lost")).toBe(1);
});

test("by keyboard alone, and nothing by one key", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const decisions = decisionsOf(page);
  const first = await agent.asks(agent.counts("first"));
  const second = await agent.asks(agent.counts("second"));
  await page.keyboard.press("Control+Shift+A");
  await expect(page.getByTestId("pending-list").getByTestId("approval-row")).toHaveCount(2);
  await page.keyboard.press("j");
  await page.keyboard.press("ArrowDown");
  await expect(page.locator(`[data-approval-id="${second.id}"]`)).toBeFocused();
  // In the list nothing is decided.
  await page.keyboard.press("Control+Enter");
  await page.keyboard.press("k");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("approval-detail")).toHaveAttribute("data-approval-detail", first.id);
  await expect(page.getByTestId("approval-title")).toBeFocused();
  await expect(page.getByTestId("approve")).toBeEnabled();
  for (const key of ["Enter", "Space", "Backspace", "y", "a"]) await page.keyboard.press(key);
  // A new one takes nobody's focus away.
  await agent.asks(agent.counts("third"));
  await expect(page).toHaveTitle("(3) repairs · Baton");
  await expect(page.getByTestId("approval-title")).toBeFocused();
  expect(decisions()).toBe(0);
  await page.keyboard.press("Control+Enter");
  await became(page, "executed");
  expect(agent.counted("first")).toBe(1);
  await page.keyboard.press("j");
  await expect(page.getByTestId("approval-detail")).toHaveAttribute("data-approval-detail", second.id);
  await expect(page.getByTestId("approve")).toBeEnabled();
  // In a text field they are the field's own.
  await page.getByTestId("decision-notes").focus();
  await page.keyboard.type("no thanks");
  await page.keyboard.press("Control+Backspace");
  await expect(page.getByTestId("decision-notes")).toHaveValue("no ");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Control+Backspace");
  await became(page, "denied");
  expect(decisions()).toBe(2);
  // And back, step by step.
  await page.keyboard.press("Escape");
  await expect(page.locator(`[data-approval-id="${second.id}"]`)).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("side-panel")).toHaveCount(0);
  await expect(page.getByRole("textbox", { name: /^Terminal/ })).toBeFocused();
});

test.describe("silence", () => {
  test.use({ configuration: { BATON_APPROVAL__TTL_S: "6" } });

  test("counts down to a no", async ({ baton, page }) => {
    const agent = await Agent.start(baton);
    await open(page, baton, agent.session);
    const asked = await agent.asks(agent.counts("late"));
    await review(page, asked.id);
    const countdown = page.getByTestId("approval-detail").getByTestId("countdown");
    await expect(countdown).toHaveText(/^0:0[0-6] leftless than 15 seconds left$/);
    await expect(page.getByTestId("approval-detail").getByRole("status").first()).toHaveText("This request: less than 15 seconds left.");
    const left = async (): Promise<number> => Number(/0:0(\d)/.exec(await countdown.innerText())?.[1] ?? NaN);
    const before = await left();
    await expect.poll(left).toBeLessThan(before);
    await became(page, "expired");
    await expect(page.getByTestId("outcome")).toContainText("Nobody decided in time, which is a no");
    await expect(page.getByTestId("approve")).toHaveCount(0);
    await expect(page).toHaveTitle("repairs · Baton");
    expect(agent.counted("late")).toBe(0);
  });
});

test("a yes for the session is told as the rule it is, and the same is not asked again", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const line = "echo same | tee";
  const asked = await agent.asks(line);
  await review(page, asked.id);
  await expect(page.getByTestId("remember-rule")).toHaveCount(0);
  await page.getByTestId("remember-session").check();
  await expect(page.getByTestId("remember-rule")).toHaveText(`The rule: ${asked.remember_rule ?? ""}.`);
  await page.getByTestId("approve").click();
  await became(page, "executed");
  const again = await baton.ask("POST", agent.at("exec"), { client_id: "agent:fixer", command: line, timeout_s: 20 }, agent.token);
  expect(again.status).toBe(200);
});

test("what an agent writes is shown as text, with nothing hidden in it", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const line = `echo '<img src=x onerror="document.title=1">\u{202e}a\u{200b}' | tee -a count${" ".repeat(300)}; echo second`;
  const asked = await agent.asks(line);
  await expect(page.getByTestId("approval-strip")).toContainText("\\u{202e}a\\u{200b}");
  await review(page, asked.id);
  const shown = page.getByTestId("approval-payload");
  await expect(shown).toHaveText(`echo '<img src=x onerror="document.title=1">\\u{202e}a\\u{200b}' | tee -a count⟨300 spaces⟩; echo second`);
  expect(await page.getByTestId("approvals").innerText()).not.toMatch(/[\u{202e}\u{200b}]/u);
  await expect(page.locator(".approvals img")).toHaveCount(0);
  // The whole of it is there too.
  await page.getByText("Everything that it holds").click();
  await expect(page.getByTestId("approval-whole")).toContainText('"timeout_s": 20');
});

test("held input is shown byte for byte, and can be changed", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  await baton.api("PATCH", `/v1/sessions/${agent.session}`, { agent_input: "held" });
  const { json } = await baton.ask<{ approval_id: string }>("POST", agent.at("input"), { client_id: "agent:fixer", text: "touch asked\r" }, agent.token);
  await review(page, json.approval_id);
  await expect(page.getByTestId("approval-payload")).toHaveText("touch asked\\r");
  await page.getByTestId("edit").click();
  await page.getByTestId("edit-text").fill("touch typed\\r");
  await page.getByTestId("edit-send").click();
  await became(page, "executed");
  await expect.poll(() => existsSync(join(agent.folder, "typed"))).toBe(true);
  expect(existsSync(join(agent.folder, "asked"))).toBe(false);
});

test("a session that is not confined is told with all that it would have", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const request = { command: ["sleep", "1000"], cwd: agent.folder, sandbox: "host", title: "outside", env: { SAID: "so" } };
  const { json } = await baton.ask<{ approval_id: string }>("POST", "/v1/terminal/sessions", request, agent.token);
  await review(page, json.approval_id);
  await expect(page.getByTestId("approval-title")).toHaveText("fixer asks to start a session that is not confined");
  await expect(page.getByTestId("approval-payload")).toHaveText("sleep 1000");
  await expect(page.getByTestId("approval-detail")).toContainText("SAID=so");
  await page.getByTestId("approve").click();
  await became(page, "executed");
  await page.getByRole("button", { name: "Show the session" }).click();
  await expect(page.locator("[data-testid='session-item'][aria-current]")).toContainText("outside");
});

test("a viewer reads and does not decide", async ({ baton, browser }) => {
  const agent = await Agent.start(baton);
  const { token } = await baton.api<{ token: string }>("POST", "/v1/auth/tokens", { name: "Vera", role: "viewer" });
  const asked = await agent.asks(agent.counts("seen"));
  const page = await browser.newPage();
  await page.goto(baton.url);
  await page.getByLabel(/token/i).fill(token);
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("session-list")).toBeAttached();
  await page.keyboard.press("Control+Shift+A");
  await review(page, asked.id);
  await expect(page.getByTestId("may-not-decide")).toContainText("viewer");
  for (const button of ["approve", "deny", "edit"]) await expect(page.getByTestId(button)).toHaveCount(0);
  await page.getByTestId("approval-title").focus();
  await page.keyboard.press("Control+Enter");
  expect((await agent.seen(asked.id)).status).toBe("pending");
});

test("whoever looks elsewhere is notified, without what is asked for", async ({ baton, browser }) => {
  const agent = await Agent.start(baton);
  const context = await browser.newContext();
  await context.grantPermissions(["notifications"], { origin: baton.url });
  const page = await context.newPage();
  // What the browser is asked to show, and where its person looks.
  await page.addInitScript(() => {
    const shown: string[] = [];
    Object.assign(window, { shown });
    const Real = window.Notification;
    window.Notification = class extends Real {
      constructor(title: string, options?: NotificationOptions) {
        super(title, options);
        shown.push(`${title} | ${options?.body ?? ""}`);
      }
    };
    document.hasFocus = () => false;
  });
  await open(page, baton, agent.session);
  const shown = (): Promise<string[]> => page.evaluate(() => (window as unknown as { shown: string[] }).shown);
  await agent.asks(agent.counts("unheard"));
  await expect(page).toHaveTitle("(1) repairs · Baton");
  expect(await shown()).toEqual([]);
  await page.getByTestId("panel-approvals").click();
  await page.getByTestId("alert-notify").check();
  await page.getByTestId("alert-sound").check();
  await agent.asks("echo hunter2 | tee -a count");
  await expect.poll(shown).toEqual(["An agent asks for approval | fixer asks to run a command. Low risk."]);
  await page.reload();
  await live(page);
  await page.getByTestId("panel-approvals").click();
  await expect(page.getByTestId("alert-notify")).toBeChecked();
  await expect(page.getByTestId("alert-sound")).toBeChecked();
});

test("on a phone", async ({ baton, browser }) => {
  const agent = await Agent.start(baton);
  const page = await browser.newPage({ viewport: { width: 375, height: 812 }, hasTouch: true, isMobile: true });
  await open(page, baton, agent.session);
  await agent.asks(agent.counts("phone"));
  await page.getByTestId("review").tap();
  await expect(page.getByTestId("approve")).toBeEnabled();
  for (const button of ["approve", "deny", "edit", "approval-back", "panel-approvals", "close-panel"]) {
    const box = await page.getByTestId(button).boundingBox();
    expect(Math.min(box?.width ?? 0, box?.height ?? 0), button).toBeGreaterThanOrEqual(44);
    expect((box?.x ?? 0) + (box?.width ?? 0), button).toBeLessThanOrEqual(375);
  }
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(375);
  await page.getByTestId("approve").tap();
  await became(page, "executed");
  expect(agent.counted("phone")).toBe(1);
  // The session is one press away.
  await page.getByTestId("approval-session").tap();
  await expect(page.getByTestId("side-panel")).toHaveCount(0);
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`no barrier in the ${colorScheme} theme`, async ({ baton, browser }) => {
    const agent = await Agent.start(baton);
    const page = await (await browser.newContext({ colorScheme })).newPage();
    await open(page, baton, agent.session);
    const asked = await agent.asks(`${agent.counts("axe")}; echo '\u{202e}'`);
    await agent.asks(agent.counts("other"));
    await expect(page.getByTestId("approval-strip")).toBeVisible();
    await accessible(page, ".approval-over");
    await page.getByTestId("panel-approvals").click();
    await expect(page.getByTestId("approval-row")).toHaveCount(2);
    await accessible(page, ".side-panel");
    await review(page, asked.id);
    await expect(page.getByTestId("approve")).toBeEnabled();
    await page.getByTestId("remember-session").check();
    await accessible(page, ".side-panel");
    await page.getByTestId("edit").click();
    await page.getByTestId("edit-text").fill(agent.counts("axed"));
    await accessible(page, ".side-panel");
    await page.getByTestId("edit-send").click();
    await became(page, "executed");
    await accessible(page, ".side-panel");
    agent.write("count", "another\n");
    await page.getByTestId("next-request").click();
    await page.getByTestId("approve").click();
    await became(page, "void");
    await accessible(page, ".side-panel");
    await page.getByTestId("show-successor").click();
    await expect(page.getByTestId("approve")).toBeEnabled();
    await accessible(page, ".side-panel");
    await page.getByTestId("approval-back").click();
    await accessible(page, ".side-panel");
  });
}

async function accessible(page: Page, part: string): Promise<void> {
  // Colours that are on their way to others are neither.
  await page.locator(part).evaluate((element) => Promise.all(element.getAnimations({ subtree: true }).map((animation) => animation.finished.catch(() => undefined))));
  const { violations } = await new AxeBuilder({ page }).include(part).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
}
