/** Every screen of the page at three widths in both themes, as somebody would meet them: written to docs/images/page. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { Agent } from "../e2e/support/agent";
import type { Baton } from "../e2e/support/baton";
import { open, shows, test } from "../e2e/support/test";

const FOLDER = join(import.meta.dirname, "../../../docs/images/page");
const SIZES = [{ width: 1440, height: 900 }, { width: 1024, height: 768 }, { width: 375, height: 812 }] as const;

mkdirSync(FOLDER, { recursive: true });

for (const viewport of SIZES) {
  for (const colorScheme of ["dark", "light"] as const) {
    const phone = viewport.width < 600;
    test.describe(`${viewport.width} ${colorScheme}`, () => {
      test.use({ viewport, colorScheme, hasTouch: phone, isMobile: phone });
      test("all", async ({ baton, page, context }) => {
        const picture = async (name: string): Promise<void> => {
          await page.screenshot({ path: join(FOLDER, `${name}-${viewport.width}-${colorScheme}.png`), animations: "disabled" });
        };
        await page.goto(`${baton.url}/`);
        await page.getByTestId("login-token").waitFor();
        await picture("sign-in");

        const { session, agent } = await scene(baton);
        await open(page, baton, session);
        await shows(page, "test result: ok");
        await picture("terminal");

        await page.keyboard.press("Control+Shift+K");
        await page.getByTestId("palette-input").fill("rep");
        await picture("palette");
        await page.keyboard.press("Escape");

        await page.keyboard.press("Control+Shift+H");
        await page.getByTestId("history-slider").waitFor();
        await page.getByTestId("history-slider").press("PageDown");
        await page.waitForFunction(() => window.batonTest?.looking() === "shown");
        await picture("history");
        await page.getByTestId("history-live").click();

        await page.keyboard.press("Control+Shift+F");
        await page.getByTestId("search-field").fill("ok");
        await page.getByTestId("search-hit").first().waitFor();
        await picture("search");
        await page.keyboard.press("Escape");

        await panel(page, "logs", phone);
        await page.getByTestId("logs-row").first().waitFor();
        await picture("logs");
        await page.getByTestId("close-panel").click();

        await panel(page, "audit", phone);
        await page.getByTestId("audit-row").first().waitFor();
        await page.getByTestId("audit-verify").click();
        await page.getByTestId("audit-verification").getByText(/\d+ rows/).waitFor();
        await picture("audit");
        await page.getByTestId("close-panel").click();

        await page.getByTestId("share-menu").click();
        await page.getByTestId("share-open").click();
        await page.getByTestId("share-create").click();
        await page.getByTestId("qr").waitFor();
        await picture("share");
        await page.keyboard.press("Escape");

        await agent.asks("echo 'port = 8080' | tee -a server.toml");
        await page.keyboard.press("Control+Shift+A");
        await page.getByTestId("approval-row").first().click();
        await page.getByTestId("approve").waitFor();
        await picture("approval");
        await page.getByTestId("close-panel").click();

        // Another tab of the same person's takes control by force.
        await page.getByTestId("claim").click();
        await page.locator("[data-testid=lease-state][data-state=mine]").waitFor();
        const client_id = crypto.randomUUID();
        await baton.api("POST", `/v1/terminal/sessions/${session}/claim`, { client_id, force: true });
        await page.getByTestId("taken-banner").waitFor();
        await picture("taken");
        await page.getByTestId("taken-dismiss").click();

        if (phone) await page.getByRole("button", { name: "Show the sessions" }).click();
        // Rows are drawn once they are in sight.
        await page.locator('[data-testid="thumbnail"][data-drawn="true"]').nth(2).waitFor();
        await picture("sessions");
        await page.getByTestId("settings-menu").click();
        await page.getByTestId("screen-settings").click();
        await picture("settings");
        await context.clearCookies();
      });
    });
  }
}

/** On a phone the panels are in the session's menu. */
async function panel(page: Page, name: "logs" | "audit", phone: boolean): Promise<void> {
  if (!phone) return page.getByTestId(`panel-${name}`).click();
  await page.getByTestId("session-menu").click();
  await page.getByRole("button", { name: name === "logs" ? "Logs" : "Audit" }).last().click();
}

/** A person's build, a server, something that failed, and an agent at work. */
async function scene(baton: Baton): Promise<{ session: string; agent: Agent }> {
  const agent = await Agent.start(baton);
  const server = await baton.shell("api server", { labels: { team: "payments" } });
  await baton.type(server, "printf 'listening on 127.0.0.1:8080\\n'; sleep 1000\n");
  const failed = await baton.shell("nightly import");
  await baton.type(failed, "echo 'error: no route to host'; exit 2\n");
  const session = await baton.shell("build");
  const lines = ["   Compiling parser v0.4.1", "   Compiling server v0.9.0", "    Finished `test` profile in 12.41s", "", "running 3 tests"];
  const tests = ["parser::numbers", "parser::strings", "server::answers"];
  const green = (name: string): string => `test ${name} ... \\033[32mok\\033[0m`;
  const text = [...lines, ...tests.map(green), "", "test result: \\033[32mok\\033[0m. 3 passed; 0 failed"].join("\\n");
  await baton.type(session, `clear; printf '${text}\\n'\n`);
  return { session, agent };
}

