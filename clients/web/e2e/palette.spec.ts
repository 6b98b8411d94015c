/** Any session and any action from the keyboard alone. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import { expectRoomForFinger } from "./support/fingers";
import { row } from "./support/list";
import { claim, expect, live, open, shows, test } from "./support/test";

declare global {
  interface Window {
    /** What was marked of the old name when its field was shown; nothing if the keyboard was elsewhere. */
    marked?: Promise<string | null>;
  }
}

const chosen = (page: Page) => page.locator('[data-testid="palette-item"][aria-selected="true"]');

/** Opens the palette, types, and does what stands first. */
async function choose(page: Page, typed: string, first: string): Promise<void> {
  // A question that is open has the keyboard.
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.keyboard.press("Control+Shift+K");
  await expect(page.getByTestId("palette-input")).toBeFocused();
  await page.keyboard.type(typed);
  await expect(chosen(page)).toContainText(first);
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("palette")).toHaveCount(0);
}

const status = async (baton: Baton, session: string): Promise<string> => (await baton.api<{ status: string }>("GET", `/v1/sessions/${session}`)).status;

test("goes from session to session, and the terminal has the keyboard at once", async ({ baton, page }) => {
  const first = await baton.shell("first one");
  const second = await baton.shell("second one", { labels: { ticket: "42" } });
  await open(page, baton, first);
  await claim(page);
  await choose(page, "sec", "second one");
  await expect(row(page, second).getByTestId("session-item")).toHaveAttribute("aria-current", "true");
  await live(page);
  await page.keyboard.type("echo typed-$((1+1))\n");
  await shows(page, "typed-2");
  await choose(page, "first", "first one");
  await expect(row(page, first).getByTestId("session-item")).toHaveAttribute("aria-current", "true");
  // By label, and by what was chosen last.
  await page.keyboard.press("Control+Shift+P");
  await page.keyboard.type("ticket=42");
  await expect(chosen(page)).toContainText("second one");
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Delete");
  await expect(page.getByTestId("palette-item").first()).toContainText("second one");
  await page.keyboard.press("ArrowUp");
  await expect(chosen(page)).toHaveAttribute("data-key", await page.getByTestId("palette-item").last().getAttribute("data-key") ?? "");
  await page.keyboard.press("ArrowDown");
  await expect(chosen(page)).toContainText("second one");
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("palette")).toHaveCount(0);
  // Back where it was.
  await page.keyboard.type("echo again-$((2+1))\n");
  await shows(page, "again-3");
});

test("leaves Ctrl+K to the shell, and takes it elsewhere", async ({ baton, page }) => {
  const session = await baton.shell("shell");
  await open(page, baton, session);
  await claim(page);
  await page.keyboard.type("echo kept WRONG");
  for (let letter = 0; letter < 6; letter++) await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Control+K");
  await page.keyboard.press("Enter");
  await shows(page, /^kept$/m);
  await expect(page.getByTestId("palette")).toHaveCount(0);
  await page.getByTestId("filter").focus();
  await page.keyboard.press("Control+K");
  await expect(page.getByTestId("palette-input")).toBeFocused();
});

test("the old name is marked before a key can come: what is typed at once replaces it", async ({ baton, page }) => {
  const session = await baton.shell("named before");
  await open(page, baton, session);
  // Looked at in the task that shows the field: no key comes before its end.
  await page.evaluate(() => {
    window.marked = new Promise((tell) => {
      new MutationObserver((_, observer) => {
        const field = document.querySelector<HTMLInputElement>('[data-testid="rename-input"]');
        if (!field) return;
        observer.disconnect();
        tell(document.activeElement === field ? field.value.slice(field.selectionStart ?? 0, field.selectionEnd ?? 0) : null);
      }).observe(document.body, { childList: true, subtree: true });
    });
  });
  await choose(page, "rename this", "Rename this session");
  expect(await page.evaluate(() => window.marked)).toBe("named before");
});

test("makes, renames, closes and starts sessions again without the pointer", async ({ baton, page }) => {
  const ended = await baton.shell("ended one", { command: ["sh", "-c", "read line; exit 1"] });
  await open(page, baton);
  await baton.type(ended, "end\n");
  await expect(row(page, ended).getByTestId("session-item")).toHaveAttribute("data-status", "exited");

  await choose(page, "new opt", "New session with options");
  await expect(page.getByRole("textbox", { name: "Name", exact: true })).toBeFocused();
  await page.keyboard.type("made by keys");
  await page.keyboard.press("Enter");
  const made = page.getByTestId("session-item").filter({ hasText: "made by keys" });
  await expect(made).toHaveAttribute("aria-current", "true");
  const id = (await made.getAttribute("data-session-id")) ?? "";
  await live(page);
  await page.keyboard.type("echo in-the-$((1+0))\n");
  await shows(page, "in-the-1");

  await choose(page, "rename this", "Rename this session");
  await expect(page.getByTestId("rename-input")).toBeFocused();
  await page.keyboard.type("named by keys");
  await page.keyboard.press("Enter");
  await expect(row(page, id)).toContainText("named by keys");

  await choose(page, "labels this", "Labels of this session");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");

  await choose(page, "start again ended", "Start again: ended one");
  await expect.poll(() => status(baton, ended)).toBe("running");

  await choose(page, "close session", "Close session");
  await expect(page.getByRole("dialog")).toContainText("Close “named by keys”?");
  await page.keyboard.press("Escape");
  expect(await status(baton, id)).toBe("running");
  await choose(page, "close session", "Close session");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect.poll(() => status(baton, id)).toBe("closed");
});

test("passes control, opens panels and changes the theme", async ({ baton, terminal, page }) => {
  const session = await baton.shell("handed");
  await open(page, baton, session);
  const lease = page.getByTestId("lease-state");
  await choose(page, "claim", "Claim control");
  await expect(lease).toHaveAttribute("data-state", "mine");
  await choose(page, "release", "Release control");
  await expect(lease).toHaveAttribute("data-state", "free");
  const cli = await terminal("attach", "handed");
  await cli.shows("$");
  await expect(lease).toHaveAttribute("data-state", "held");
  // What is not possible is not offered.
  await page.keyboard.press("Control+Shift+K");
  await page.keyboard.type("claim control");
  await expect(page.locator('[data-key="claim"]')).toHaveCount(0);
  await page.keyboard.press("Escape");
  await choose(page, "take control", "Take control");
  await expect(page.getByRole("dialog", { name: /^Take control/ })).toBeVisible();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(lease).toHaveAttribute("data-state", "mine");

  await choose(page, "open logs", "Open Logs");
  await expect(page.getByTestId("side-panel")).toHaveAttribute("data-panel", "logs");
  await choose(page, "light", "Theme: light");
  await expect(page.locator("html")).toHaveAttribute("data-shade", "light");
  await choose(page, "look back", "Look back");
  await expect.poll(() => page.evaluate(() => window.batonTest?.looking())).toBe("shown");
});

test("shows what a name hides, and is a list for a screen reader", async ({ baton, page }) => {
  await baton.shell("plain");
  const folder = join(baton.scratch, "safe\u202Etxt");
  mkdirSync(folder);
  const hiding = await baton.shell("hiding", { cwd: folder });
  await open(page, baton);
  await expect(row(page, hiding).getByTestId("row-cwd")).toHaveText(/safe\\u\{202e\}txt/);
  await page.keyboard.press("Control+K");
  await expect(page.getByRole("combobox")).toHaveAttribute("aria-activedescendant", "palette-0");
  await expect(page.getByRole("option").first()).toContainText("safe\\u{202e}txt");
  await expect(page.getByRole("option", { selected: true })).toHaveAttribute("id", "palette-0");
  await page.keyboard.type("qqqq");
  await expect(page.getByTestId("palette")).toContainText("Nothing is called “qqqq”.");
  await noViolations(page);
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Delete");
  await noViolations(page);
});

test("opens by a button on a phone, and fits", async ({ baton, page }) => {
  const session = await baton.shell("small");
  await page.setViewportSize({ width: 375, height: 812 });
  await open(page, baton);
  await page.getByRole("button", { name: "Show the sessions" }).click();
  await page.getByTestId("open-palette").click();
  const item = page.getByTestId("palette-item").first();
  await expect(item).toContainText("small");
  await expectRoomForFinger(item);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375);
  await noViolations(page);
  await item.click();
  await expect(row(page, session).getByTestId("session-item")).toHaveAttribute("aria-current", "true");
  await live(page);
});
