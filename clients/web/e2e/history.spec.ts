/** Looking back at a living session, and coming back to it. */

import { readFileSync } from "node:fs";
import type { Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import { expect, open, rows, shows, test, trimmed } from "./support/test";

/** A program that runs these commands as a shell with marks does, one whenever it is told, and then counts without end. */
function program(commands: readonly { name: string; code: number }[]): object {
  const steps = commands.map(({ name, code }) =>
    `read -r; printf '\\033[H\\033[2J\\033]133;C;cmdline_url=${name}\\007'; for i in 1 2 3; do echo "$i of ${name}"; done; printf '\\033]133;D;${code}\\007'; echo "after ${name}"`);
  return { command: ["bash", "--norc", "-c", `stty -echo; echo ready; ${steps.join("; ")}; read -r; n=0; until read -r -t 0.05; do n=$((n+1)); echo "tick $n"; done; echo stopped; read -r`] };
}

const COMMANDS = [{ name: "alpha", code: 0 }, { name: "beta", code: 3 }, { name: "gamma", code: 0 }] as const;

/** The screen as the bridge has it, now or at a place, in the form of the page's own rows. */
async function screen(baton: Baton, session: string, cursor?: string): Promise<string> {
  const response = await fetch(`${baton.url}/v1/terminal/sessions/${session}/snapshot?format=text${cursor ? `&cursor=${cursor}` : ""}`, { headers: { Authorization: `Bearer ${baton.token}` } });
  return trimmed(await response.text());
}

async function past(page: Page): Promise<string> {
  return trimmed(await page.evaluate(() => window.batonTest?.past() ?? ""));
}

function looking(page: Page): Promise<string> {
  return page.evaluate(() => window.batonTest?.looking() ?? "");
}

/** The number up to which the live terminal has counted. */
async function tick(page: Page): Promise<number> {
  return Math.max(0, ...[...(await rows(page)).matchAll(/^tick (\d+)$/gm)].map(([, number]) => Number(number)));
}

/** A session that has run all commands; what the page showed after each. */
async function ran(baton: Baton, page: Page): Promise<{ session: string; screens: string[] }> {
  const session = await baton.shell("looked back at", program(COMMANDS));
  await open(page, baton, session);
  await shows(page, "ready");
  const screens: string[] = [];
  for (const { name } of COMMANDS) {
    await baton.type(session, "\n");
    await shows(page, `after ${name}`);
    screens.push(trimmed(await rows(page)));
  }
  return { session, screens };
}

test("an earlier screen is shown exactly while the program runs on, and the live one is exact again", async ({ baton, page }) => {
  const { session, screens } = await ran(baton, page);
  await baton.type(session, "\n");
  await expect.poll(() => tick(page)).toBeGreaterThan(3);

  await page.getByTestId("history-button").click();
  await expect.poll(() => looking(page)).toBe("shown");
  await expect(page.getByTestId("history-slider")).toBeFocused();
  await expect(page.locator(".tick")).not.toHaveCount(0);
  // From the newest back, command by command.
  for (const at of [2, 1, 0]) {
    await page.keyboard.press("PageUp");
    const { name } = COMMANDS[at] ?? COMMANDS[0];
    // All that was shown then, but the line that came after the command had ended.
    const then = trimmed((screens[at] ?? "").replace(`after ${name}`, ""));
    await expect.poll(() => past(page)).toBe(then);
    const counted = await tick(page);
    await expect.poll(() => tick(page), "the program runs on").toBeGreaterThan(counted);
    expect(await past(page), "and what is looked at stays").toBe(then);
  }
  await page.keyboard.press("Escape");
  expect(await looking(page)).toBe("live");
  await expect(page.getByTestId("history")).toHaveCount(0);
  await baton.type(session, "x\n");
  await shows(page, "stopped");
  expect(trimmed(await rows(page))).toBe(await screen(baton, session));
});

test("the slider is worked with the keyboard alone, and plays at a speed back to now", async ({ baton, page }) => {
  const { session, screens } = await ran(baton, page);
  await page.getByTestId("terminal").click();
  await page.keyboard.press("Control+Shift+H");
  const slider = page.getByTestId("history-slider");
  await expect(slider).toBeFocused();
  await expect(page.locator(".tick")).not.toHaveCount(0);
  await expect(slider).toHaveValue("1000");
  await expect.poll(() => past(page)).toBe(screens[2]);
  await page.keyboard.press("Home");
  await expect(slider).toHaveValue("0");
  await expect.poll(() => past(page)).not.toContain("of ");
  await page.keyboard.press("PageDown");
  await expect.poll(() => past(page)).toContain("3 of alpha");
  const value = Number(await slider.inputValue());
  await page.keyboard.press("Shift+ArrowRight");
  await expect(slider).toHaveValue(String(value + 25));
  await page.keyboard.press("ArrowLeft");
  await expect(slider).toHaveValue(String(value + 24));
  await page.keyboard.press("End");
  await expect(slider).toHaveValue("1000");
  await expect.poll(() => past(page)).toBe(screens[2]);

  await page.keyboard.press("Home");
  await expect.poll(() => looking(page)).toBe("shown");
  await page.getByLabel("Speed").selectOption("8");
  await slider.focus();
  await page.keyboard.press("Space");
  await expect.poll(() => looking(page)).toBe("playing");
  // It catches up with a program that runs: then it is live again.
  await expect.poll(() => looking(page), { timeout: 30_000 }).toBe("live");
  expect(trimmed(await rows(page))).toBe(await screen(baton, session));
  await expect(page.getByTestId("lease-state"), "looking takes nothing").toHaveAttribute("data-state", "free");
});

test("the tick of a command that failed goes to what it printed", async ({ baton, page }) => {
  await ran(baton, page);
  await page.getByTestId("history-button").click();
  const failed = page.locator(".tick-failed");
  await expect(failed).toHaveCount(1);
  await expect(failed).toHaveAttribute("title", /beta · exit 3/);
  await failed.click();
  await expect.poll(() => past(page)).toContain("3 of beta");
  expect(await past(page)).not.toContain("after beta");
});

interface Cast {
  header: { version: number; width?: number; term?: { cols: number } };
  events: [number, string, string][];
}

async function exported(page: Page, format: string): Promise<{ name: string; text: string }> {
  await page.getByTestId("export-format").selectOption(format);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId("export-save").click()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
}

function castOf(text: string): Cast {
  const [header = "{}", ...lines] = text.trimEnd().split("\n");
  return { header: JSON.parse(header) as Cast["header"], events: lines.map((line) => JSON.parse(line) as Cast["events"][number]) };
}

test("a part is exported that begins and ends where it was chosen", async ({ baton, page }) => {
  const { screens } = await ran(baton, page);
  await page.getByTestId("history-button").click();
  await expect(page.locator(".tick")).toHaveCount(3);
  await page.keyboard.press("PageUp");
  await page.keyboard.press("PageUp");
  await expect.poll(() => past(page)).toContain("3 of beta");
  await page.keyboard.press("]");
  await page.keyboard.press("PageUp");
  await expect.poll(() => past(page)).toContain("3 of alpha");
  await page.getByTestId("export-set-from").click();
  await expect(page.locator(".export-range")).toBeVisible();

  for (const [format, version] of [["cast3", 3], ["cast2", 2]] as const) {
    const { name, text } = await exported(page, format);
    expect(name).toBe("looked-back-at.cast");
    const { header, events } = castOf(text);
    expect(header.version).toBe(version);
    const output = events.filter(([, code]) => code === "o").map(([, , data]) => data);
    expect(output[0], "it begins with the screen that was there").toContain("3 of alpha");
    const rest = output.slice(1).join("");
    expect(rest).toContain("after alpha");
    expect(rest).toContain("3 of beta");
    expect(rest).not.toContain("of alpha");
    expect(rest, "it ends where the command ended").not.toContain("after beta");
    expect(rest).not.toContain("gamma");
  }
  const { name, text } = await exported(page, "text");
  expect(name).toBe("looked-back-at.txt");
  expect(text).toContain("3 of beta");
  expect(text).not.toContain("after beta");

  await page.getByTestId("export-save").focus();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("export-bar"), "one step back").toHaveCount(0);
  await expect(page.getByTestId("history-slider")).toBeFocused();
  await page.getByTestId("history-export").click();
  await page.getByRole("button", { name: "All of it" }).click();
  const whole = castOf((await exported(page, "cast3")).text).events.map(([, , data]) => data).join("");
  for (const said of ["ready", "3 of alpha", "3 of beta", "after gamma"]) expect(whole).toContain(said);
  await page.getByTestId("history-live").click();
  await expect.poll(async () => trimmed(await rows(page))).toBe(screens[2]);
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`nothing of it breaks WCAG AA, ${colorScheme}`, async ({ baton, page }) => {
    await page.emulateMedia({ colorScheme });
    await ran(baton, page);
    await page.getByTestId("history-button").click();
    await expect(page.locator(".tick-failed")).toHaveCount(1);
    await page.keyboard.press("PageUp");
    await page.keyboard.press("]");
    await expect(page.getByTestId("export-bar")).toBeVisible();
    for (const size of [{ width: 1440, height: 900 }, { width: 1024, height: 768 }, { width: 375, height: 812 }]) {
      await page.setViewportSize(size);
      await expect.poll(() => looking(page)).toBe("shown");
      await noViolations(page, ".past");
    }
  });
}
