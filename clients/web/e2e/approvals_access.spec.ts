/** Approvals for everybody: by keyboard, on a phone, in both themes. */

import { noViolations } from "./support/axe";
import { Agent } from "./support/agent";
import { became, decisionsOf, review } from "./support/approvals";
import { expectRoomForFinger } from "./support/fingers";
import { expect, open, test } from "./support/test";

test("by keyboard alone, and nothing by one key", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const decisions = decisionsOf(page);
  const first = await agent.asks(agent.counts("first"));
  const second = await agent.asks(agent.counts("second"));
  await page.keyboard.press("Control+Shift+A");
  await expect(page.getByRole("heading", { name: "Approvals" })).toBeFocused();
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

test("on a phone", async ({ baton, browser }) => {
  const agent = await Agent.start(baton);
  const page = await browser.newPage({ viewport: { width: 375, height: 812 }, hasTouch: true, isMobile: true });
  await open(page, baton, agent.session);
  await agent.asks(agent.counts("phone"));
  await page.getByTestId("review").tap();
  await expect(page.getByTestId("approve")).toBeEnabled();
  for (const button of ["approve", "deny", "edit", "approval-back", "panel-approvals", "close-panel"]) {
    await expectRoomForFinger(page.getByTestId(button));
    const box = await page.getByTestId(button).boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 0), button).toBeLessThanOrEqual(375);
  }
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(375);
  // The field to edit in is whole at once, above the buttons.
  await page.getByTestId("edit").tap();
  const bottom = async (what: string): Promise<number> => ((box) => (box?.y ?? 0) + (box?.height ?? 0))(await page.getByTestId(what).boundingBox());
  const top = async (what: string): Promise<number> => (await page.getByTestId(what).boundingBox())?.y ?? 0;
  await expect(page.getByTestId("edit-text")).toBeFocused();
  await expect.poll(async () => (await bottom("edit-text")) - (await top("edit-send"))).toBeLessThanOrEqual(0);
  await page.getByTestId("edit-cancel").tap();
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
    await noViolations(page, ".approval-over");
    await page.getByTestId("panel-approvals").click();
    await expect(page.getByTestId("approval-row")).toHaveCount(2);
    await noViolations(page, ".side-panel");
    await review(page, asked.id);
    await expect(page.getByTestId("approve")).toBeEnabled();
    await page.getByTestId("remember-session").check();
    await noViolations(page, ".side-panel");
    await page.getByTestId("edit").click();
    await page.getByTestId("edit-text").fill(agent.counts("axed"));
    await noViolations(page, ".side-panel");
    await page.getByTestId("edit-send").click();
    await became(page, "executed");
    await noViolations(page, ".side-panel");
    agent.write("count", "another\n");
    await page.getByTestId("next-request").click();
    await page.getByTestId("approve").click();
    await became(page, "void");
    await noViolations(page, ".side-panel");
    await page.getByTestId("show-successor").click();
    await expect(page.getByTestId("approve")).toBeEnabled();
    await noViolations(page, ".side-panel");
    await page.getByTestId("approval-back").click();
    await noViolations(page, ".side-panel");
  });
}
