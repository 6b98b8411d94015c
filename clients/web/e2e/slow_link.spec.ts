/** A link of 300 ms and back that loses one packet in a hundred: the kernel's own TCP over a wire of the test's own. */

import { LossyLink } from "./support/lossy_link";
import { BEHIND_A_LINK } from "./support/slow_link";
import { claim, expect, live, rows, shows, test, trimmed } from "./support/test";

test.use({ configuration: BEHIND_A_LINK });

test("300 ms and 1 % loss: it connects, types, floods, is interrupted, and shows what the session shows", async ({ baton, page }) => {
  test.setTimeout(240_000);
  const session = await baton.shell("far away");
  const link = await LossyLink.open(baton, { delayMs: 150, loss: 0.01 });
  test.skip(link === null, "a wire that loses packets needs root, `unshare`, `python3` and a TUN device");
  if (!link) return;
  await page.goto(link.by(await baton.link(session)), { timeout: 60_000 });
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live", { timeout: 60_000 });
  await live(page);
  const latency = page.locator(".rtt");
  await expect(latency).toHaveText(/^\d+ ms$/, { timeout: 30_000 });
  expect(Number.parseInt((await latency.textContent()) ?? "", 10)).toBeGreaterThanOrEqual(300);
  await claim(page);
  await page.keyboard.type("echo $((6 * 7)) letters\n");
  await shows(page, "42 letters");

  await page.keyboard.type("head -c 5242880 /dev/zero | tr '\\0' x | fold -w 90; echo flooded-$((2 + 3))\n");
  await expect.poll(() => rows(page), { timeout: 120_000 }).toContain("flooded-5");
  await page.keyboard.type("yes without end\n");
  await expect.poll(() => rows(page), { timeout: 60_000 }).toContain("without end\nwithout end");
  await page.keyboard.press("Control+c");
  await page.keyboard.type("echo back-$((40 + 2))\n");
  await expect.poll(() => rows(page), { timeout: 120_000 }).toMatch(/^back-42 *$/m);
  await expect.poll(async () => trimmed(await rows(page)), { timeout: 30_000 }).toBe(trimmed(await baton.screen(session)));
  expect(await link.end()).toBeGreaterThan(0);
});
