/** The address names the session, and the browser's own buttons go from one to another. */

import { expect, live, open, test } from "./support/test";

test("Back and Forward go through the sessions that were looked at", async ({ baton, page }) => {
  const sessions = [await baton.shell("first"), await baton.shell("second"), await baton.shell("third")] as const;
  const shown = (session: string): Promise<void> => expect(page.locator(`[data-session-id="${session}"]`)).toHaveAttribute("aria-current", "true");
  await open(page, baton, sessions[0]);
  for (const session of sessions.slice(1)) {
    await page.locator(`[data-session-id="${session}"]`).click();
    await shown(session);
    await live(page);
  }
  await page.goBack();
  await shown(sessions[1]);
  await page.goBack();
  await shown(sessions[0]);
  await page.goForward();
  await shown(sessions[1]);
  await live(page);
  expect(page.url()).toContain(sessions[1]);
});
