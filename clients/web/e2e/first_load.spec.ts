/** What the page costs before it shows anything, and whom it asks. */

import { expect, open, shows, test } from "./support/test";

const FIRST_LOAD_BYTES_MAX = 300 * 1000;

test("the first load is small, packed, and asks nobody else", async ({ baton, page, context }) => {
  const session = await baton.shell("small");
  await baton.type(session, "echo here I am\n");
  const network = await context.newCDPSession(page);
  await network.send("Network.enable");
  let bytes = 0;
  network.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  const hosts = new Set<string>();
  const unpacked: string[] = [];
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  page.on("response", async (response) => {
    const large = Number(response.headers()["content-length"] ?? 0) > 20_000;
    if (large && response.url().includes("/assets/") && !("content-encoding" in response.headers())) unpacked.push(response.url());
  });
  const refused: string[] = [];
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) refused.push(message.text());
  });

  await open(page, baton, session);
  await shows(page, "here I am");

  expect(bytes).toBeGreaterThan(50_000);
  expect(bytes).toBeLessThan(FIRST_LOAD_BYTES_MAX);
  expect([...hosts]).toEqual([new URL(baton.url).host]);
  expect(unpacked).toEqual([]);
  expect(refused).toEqual([]);
});

test("nothing on the page is inline script", async ({ baton, page }) => {
  const answer = await page.goto(`${baton.url}/`);
  expect(answer?.headers()["content-security-policy"]).toMatch(/^default-src 'self';/);
  expect(answer?.headers()["content-security-policy"]).not.toMatch(/script-src|unsafe-eval/);
  expect(await page.locator("script:not([src])").count()).toBe(0);
});
