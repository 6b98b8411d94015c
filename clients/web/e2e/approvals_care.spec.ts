/** Nothing is decided by accident, twice, unseen or by who may not; and nothing is lost on the way. */

import { Agent } from "./support/agent";
import { became, decisionsOf, review } from "./support/approvals";
import { expect, live, open, test } from "./support/test";

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

test.describe("silence", () => {
  test.use({ configuration: { BATON_APPROVAL__TTL_S: "12" } });

  test("counts down to a no", async ({ baton, page }) => {
    const agent = await Agent.start(baton);
    await open(page, baton, agent.session);
    const asked = await agent.asks(agent.counts("late"));
    await review(page, asked.id);
    const countdown = page.getByTestId("approval-detail").getByTestId("countdown");
    await expect(countdown).toHaveText(/^0:\d\d leftless than 15 seconds left$/);
    await expect(page.getByTestId("approval-detail").getByRole("status").first()).toHaveText("This request: less than 15 seconds left.");
    const left = async (): Promise<number> => Number(/0:(\d\d)/.exec(await countdown.innerText())?.[1] ?? NaN);
    const before = await left();
    await expect.poll(left).toBeLessThan(before);
    await became(page, "expired");
    await expect(page.getByTestId("outcome")).toContainText("Nobody decided in time, which is a no");
    await expect(page.getByTestId("approve")).toHaveCount(0);
    await expect(page).toHaveTitle("repairs · Baton");
    expect(agent.counted("late")).toBe(0);
  });
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

test("a link to watch one session shows nothing of what waits there", async ({ baton, browser }) => {
  const agent = await Agent.start(baton);
  await agent.asks(agent.counts("unseen"));
  const { url } = await baton.api<{ url: string }>("POST", "/v1/auth/links", { kind: "share", session_id: agent.session });
  const page = await browser.newPage();
  await page.goto(url);
  await live(page);
  await page.getByTestId("panel-approvals").click();
  await expect(page.getByTestId("approvals-not-shown")).toBeVisible();
  await expect(page.getByTestId("approval-strip")).toHaveCount(0);
  await expect(page.getByTestId("approval-row")).toHaveCount(0);
});
