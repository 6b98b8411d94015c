/** One session shown to somebody else, and opened somewhere else. */

import type { Page } from "@playwright/test";
import { encode } from "uqr";
import { noViolations } from "./support/axe";
import { claim, expect, live, open, rows, shows, test } from "./support/test";

/** Makes a share link in the page, and answers its address. */
async function share(page: Page, from: "here" | "start", ttl = "3600"): Promise<string> {
  await page.getByTestId("share-menu").click();
  await page.getByTestId("share-open").click();
  await page.getByRole("radio", { name: from === "here" ? /From here on/ : /From the start/ }).check();
  await page.getByTestId("share-ttl").selectOption(ttl);
  await page.getByTestId("share-create").click();
  return page.getByTestId("share-url").inputValue();
}

test("a link from here on: read only, nothing of before, and over when it is taken back", async ({ baton, page, browser }) => {
  const session = await baton.shell("shown");
  await baton.shell("another, not shown");
  await open(page, baton, session);
  await claim(page);
  await page.keyboard.type("echo uns\\een\n");
  await shows(page, "\nunseen");
  const url = await share(page, "here");
  expect(url).toContain("#share=");
  await page.getByTestId("share-close").click();

  const guest = await (await browser.newContext()).newPage();
  await guest.goto(url);
  await live(guest);
  // The code does not stay in the address.
  expect(guest.url()).not.toContain("share=");
  await page.getByTestId("terminal").click();
  await page.keyboard.type("echo af\\ter\n");
  await shows(guest, "\nafter");
  expect(await rows(guest)).not.toContain("unseen");
  await expect(guest.getByTestId("notice")).toContainText("The link begins where it was made");
  await expect(guest.getByTestId("session-item")).toHaveCount(1);
  await expect(guest.getByTestId("lease-state")).toContainText("You are watching");
  for (const verb of ["claim", "release", "take-control", "ask-control", "share-open"]) await expect(guest.getByTestId(verb)).toHaveCount(0);
  await guest.getByTestId("terminal").click();
  await guest.keyboard.type("guest");
  await expect(guest.getByTestId("notice").last()).toContainText("You may watch this session but not type into it.");
  expect(await rows(page)).not.toContain("guest");

  // What was before is refused by the bridge itself, with the guest's own credentials.
  const answers = await guest.evaluate(async (session) => {
    const headers = { "X-Baton-Key": localStorage.getItem("baton.key") ?? "" };
    const get = async (path: string): Promise<{ status: number; body: string }> => {
      const response = await fetch(path, { headers });
      return { status: response.status, body: await response.text() };
    };
    const { instance } = JSON.parse((await get(`/v1/sessions/${session}`)).body) as { instance: string };
    const start = encodeURIComponent(`${instance}:0`);
    return {
      output: await get(`/v1/terminal/sessions/${session}/output?cursor=${start}`),
      snapshot: await get(`/v1/terminal/sessions/${session}/snapshot?format=text&cursor=${start}`),
      search: await get(`/v1/terminal/sessions/${session}/search?q=unseen`),
      recording: await get(`/v1/terminal/sessions/${session}/recording.cast?version=3`),
      claim: await fetch(`/v1/terminal/sessions/${session}/claim`, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ client_id: crypto.randomUUID(), force: true }) }).then(({ status }) => status),
    };
  }, session);
  expect(answers.claim).toBe(403);
  expect(answers.output.status).toBe(410);
  expect(answers.snapshot.status).toBeGreaterThanOrEqual(400);
  for (const { body } of [answers.output, answers.snapshot, answers.recording]) expect(body).not.toContain("unseen");
  expect(JSON.parse(answers.search.body)).toMatchObject({ items: [] });

  await page.getByTestId("share-menu").click();
  await page.getByTestId("share-open").click();
  await page.getByTestId("share-take-back").click();
  await expect(page.getByTestId("share-links")).toHaveCount(0);
  await expect(guest.getByRole("alert")).toContainText("expired or was taken back");
  await page.getByTestId("share-close").click();
  await page.getByTestId("terminal").click();
  await page.keyboard.type("echo secr\\et\n");
  await shows(page, "\nsecret");
  expect(await guest.evaluate(() => document.body.innerText)).not.toContain("secret");
  const late = await (await browser.newContext()).newPage();
  await late.goto(url);
  await expect(late.getByRole("alert")).toContainText("expired or was taken back");
});

test("a link from the start shows what was before", async ({ baton, page, browser }) => {
  const session = await baton.shell("shown");
  await open(page, baton, session);
  await claim(page);
  await page.keyboard.type("echo uns\\een\n");
  await shows(page, "\nunseen");
  const url = await share(page, "start");
  const guest = await (await browser.newContext()).newPage();
  await guest.goto(url);
  await live(guest);
  await shows(guest, "\nunseen");
});

test("its code for cameras is the link, and says when no phone can come here", async ({ baton, page }) => {
  const session = await baton.shell("shown");
  await open(page, baton, session);
  const url = await share(page, "here");
  await expect(page.getByTestId("loopback-note")).toContainText(`tailscale serve --bg ${new URL(baton.url).port}`);
  const code = page.getByTestId("share-made").getByRole("img", { name: "QR code of the link to watch this session" });
  const { data } = encode(url, { ecc: "M", border: 4 });
  const drawn = await code.evaluate((svg, size) => {
    const image = new Image(size * 4, size * 4);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [size * 4, size * 4];
    const context = canvas.getContext("2d");
    const copy = svg.cloneNode(true) as SVGElement;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    image.src = `data:image/svg+xml;base64,${btoa(copy.outerHTML)}`;
    return image.decode().then(() => {
      context?.drawImage(image, 0, 0, size * 4, size * 4);
      const dark = (x: number, y: number): boolean => (context?.getImageData(x * 4 + 2, y * 4 + 2, 1, 1).data[0] ?? 255) < 128;
      return Array.from({ length: size }, (_, y) => Array.from({ length: size }, (_, x) => dark(x, y)));
    });
  }, data.length);
  expect(drawn).toEqual(data);
});

test("a code for one's own phone is shown when asked for, counts down, and signs in once", async ({ baton, page, browser }) => {
  const session = await baton.shell("mine");
  await open(page, baton, session);
  await page.getByTestId("share-menu").click();
  await page.getByTestId("elsewhere-open").click();
  await expect(page.getByTestId("qr")).toHaveCount(0);
  const made = page.waitForResponse((response) => response.url().endsWith("/v1/auth/links"));
  await page.getByTestId("phone-show").click();
  const { url } = (await (await made).json()) as { url: string };
  await expect(page.getByTestId("phone-left")).toContainText(/within (60|5\d) s/);
  await expect(page.getByTestId("phone-left")).toContainText(/within 5[0-8] s/);
  const phone = await (await browser.newContext({ viewport: { width: 375, height: 812 }, hasTouch: true, isMobile: true })).newPage();
  await phone.goto(url);
  await live(phone);
  const again = await (await browser.newContext()).newPage();
  await again.goto(url);
  await expect(again.getByRole("alert")).toContainText("used already or is too old");
});

test("the other ways out: the desktop's address, a command that works, the page's address", async ({ baton, page, context, terminal }) => {
  const session = await baton.shell("my work");
  await open(page, baton, session);
  await claim(page);
  await page.keyboard.type("echo fo\\und\n");
  await page.getByTestId("share-menu").click();
  await page.getByTestId("elsewhere-open").click();
  await expect(page.getByTestId("open-in-desktop")).toHaveAttribute("href", `baton://session/${session}`);
  expect(await page.getByTestId("attach-command").inputValue()).toBe("baton attach 'my work'");
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByTestId("page-address-copy").click();
  const address = await page.evaluate(() => navigator.clipboard.readText());
  const other = await context.newPage();
  await other.goto(address);
  await live(other);
  await shows(other, "\nfound");
  const cli = await terminal("attach", "my work");
  await cli.shows("found");
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`the questions keep nobody out, ${colorScheme}`, async ({ baton, page }) => {
    await page.emulateMedia({ colorScheme });
    await open(page, baton, await baton.shell("shown"));
    await share(page, "here");
    await expect(page.getByTestId("qr")).toBeVisible();
    await noViolations(page);
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await page.getByTestId("share-menu").click();
    await noViolations(page);
    await page.getByTestId("elsewhere-open").click();
    await page.getByTestId("phone-show").click();
    await expect(page.getByTestId("qr")).toBeVisible();
    await noViolations(page);
  });
}
