/** A phone: keys that its keyboard lacks, fingers, a small window, an installed page. */

import type { Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import { Fingers } from "./support/fingers";
import { expect, live, open, rows, shows, test } from "./support/test";

test.use({ viewport: { width: 375, height: 812 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });

const PORTRAIT = { width: 375, height: 812 };
const LANDSCAPE = { width: 812, height: 375 };
const WITH_KEYBOARD = { width: 375, height: 480 };

/** A program that prints each byte it is sent: `^[` is Escape, `^M` Return. */
const RECORDER = { command: ["bash", "--norc", "-c", "stty raw -echo; printf '> '; exec cat -vT"] };

async function key(page: Page, name: string | RegExp): Promise<void> {
  await page.getByTestId("key-bar").getByRole("button", typeof name === "string" ? { name, exact: true } : { name }).tap();
}

async function takeOver(page: Page): Promise<void> {
  await page.getByTestId("claim").tap();
  await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
  await page.getByTestId("terminal").tap();
}

async function sizeOf(baton: Baton, session: string): Promise<{ cols: number; rows: number }> {
  const { size } = await baton.api<{ size: { cols: number; rows: number } }>("GET", `/v1/sessions/${session}`);
  return { cols: size.cols, rows: size.rows };
}

async function resizes(baton: Baton, session: string): Promise<number> {
  const { items } = await baton.api<{ items: unknown[] }>("GET", `/v1/sessions/${session}/events?type=resize&limit=1000`);
  return items.length;
}

test("each key sends what a keyboard's does, and none takes the focus", async ({ baton, page }) => {
  const session = await baton.shell("keys", RECORDER);
  await open(page, baton, session);
  await shows(page, ">");
  await takeOver(page);
  const modifier = (name: string): RegExp => new RegExp(`^${name},`);
  let sent = "> ";
  const expectSent = async (more: string): Promise<void> => {
    sent += more;
    await expect.poll(async () => (await rows(page)).replaceAll("\n", "").trimEnd()).toBe(sent);
  };
  await key(page, "Esc, Escape");
  await expectSent("^[");
  await key(page, "Tab");
  await key(page, "Shift Tab");
  await expectSent("^I^[[Z");
  await key(page, "Up");
  await key(page, "Left");
  await expectSent("^[[A^[[D");
  await key(page, modifier("Ctrl"));
  await page.keyboard.type("c");
  await expectSent("^C");
  await page.keyboard.type("c");
  await expectSent("c");
  await key(page, modifier("Alt"));
  await page.keyboard.type(".");
  await expectSent("^[.");
  await key(page, modifier("Ctrl"));
  await key(page, "Right");
  await expectSent("^[[1;5C");
  await key(page, "Control C");
  await key(page, "Enter");
  await expectSent("^C^M");
  await key(page, "More keys");
  for (const name of ["Home", "End", "PgUp, page up", "PgDn, page down"]) await key(page, name);
  await expectSent("^[[H^[[F^[[5~^[[6~");
  expect(await page.evaluate(() => document.activeElement?.className)).toContain("xterm-helper-textarea");
});

test("two taps lock a key until the next, and an arrow that is held repeats", async ({ baton, page }) => {
  const session = await baton.shell("keys", RECORDER);
  await open(page, baton, session);
  await shows(page, ">");
  await takeOver(page);
  const control = page.getByTestId("key-bar").getByRole("button", { name: /^Ctrl,/ });
  await control.dblclick();
  await expect(control).toHaveAttribute("data-hold", "locked");
  await page.keyboard.type("ab");
  await shows(page, "^A^B");
  await control.tap();
  await expect(control).toHaveAttribute("data-hold", "off");
  await page.keyboard.type("d");
  await shows(page, "^A^Bd");

  const box = await page.getByRole("button", { name: "Up", exact: true }).boundingBox();
  if (!box) throw new Error("no arrow");
  const fingers = await Fingers.on(page);
  await fingers.down({ x: box.x + box.width / 2, y: box.y + box.height / 2 });
  await expect.poll(async () => ((await rows(page)).match(/\^\[\[A/g) ?? []).length).toBeGreaterThan(3);
  await fingers.up();
  // Typed after the finger was lifted: no arrow comes behind it, however long one looks.
  for (const letter of "efghijklm") {
    await page.keyboard.type(letter);
    await shows(page, letter);
  }
  expect((await rows(page)).replaceAll("\n", "")).toContain("Aefghijklm");
});

test("vim is driven by the key bar", async ({ baton, page }) => {
  const session = await baton.shell("editor", { command: ["vim", "-u", "NONE", "-N", "-i", "NONE"] });
  await open(page, baton, session);
  await shows(page, "~");
  await takeOver(page);
  await page.keyboard.type("iac");
  await key(page, "Left");
  await page.keyboard.type("b");
  await key(page, "Esc, Escape");
  await page.keyboard.type("o1\t2");
  await key(page, "Up");
  await key(page, "More keys");
  await key(page, "Home");
  await page.keyboard.type(">");
  await key(page, "Esc, Escape");
  await shows(page, ">abc\n1       2");
});

test("pasting: from the clipboard, and by hand where the page may not read it", async ({ baton, page, context }) => {
  const session = await baton.shell("paste", { command: ["cat"] });
  await open(page, baton, session);
  await takeOver(page);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.evaluate(() => navigator.clipboard.writeText("from the clipboard"));
  await key(page, "Paste");
  await shows(page, "from the clipboard");
  await context.clearPermissions();
  await page.evaluate(() => void Object.defineProperty(navigator.clipboard, "readText", { value: () => Promise.reject(new DOMException("no", "NotAllowedError")) }));
  await key(page, "Paste");
  await page.getByTestId("paste-field").fill(" and by hand");
  await page.getByTestId("paste-now").tap();
  await shows(page, "from the clipboard and by hand");
});

test("what a composing keyboard writes arrives once, when it is finished", async ({ baton, page }) => {
  const session = await baton.shell("composed", { command: ["cat"] });
  await open(page, baton, session);
  await takeOver(page);
  const { cdp } = await Fingers.on(page);
  for (const text of ["に", "にほ", "にほん"]) await cdp.send("Input.imeSetComposition", { text, selectionStart: text.length, selectionEnd: text.length });
  expect(await rows(page)).not.toContain("に");
  await cdp.send("Input.insertText", { text: "日本" });
  await shows(page, "日本");
  await page.keyboard.press("Enter");
  await shows(page, "日本\n日本");
  expect((await rows(page)).replaceAll("日本", "").trim()).toBe("");
});

test("an observer rotates, and no size changes for anybody", async ({ baton, page }) => {
  const session = await baton.shell("watched", { cols: 200, rows: 50 });
  await open(page, baton, session);
  await shows(page, "$");
  const before = await resizes(baton, session);
  const window = (): Promise<string> => baton.api<{ clients: { viewport: { cols: number; rows: number } }[] }>("GET", `/v1/sessions/${session}`).then(({ clients }) => JSON.stringify(clients[0]?.viewport));
  const portrait = await window();
  await page.setViewportSize(LANDSCAPE);
  // It is told how large the window is now, and that is all.
  await expect.poll(window).not.toBe(portrait);
  await page.setViewportSize(PORTRAIT);
  await expect.poll(window).toBe(portrait);
  expect(await sizeOf(baton, session)).toEqual({ cols: 200, rows: 50 });
  expect(await resizes(baton, session)).toBe(before);
});

test("the owner's keyboard opens over the terminal, not into the session's size; rotating sizes it once", async ({ baton, page }) => {
  const session = await baton.shell("owned");
  await open(page, baton, session);
  await takeOver(page);
  await expect.poll(async () => (await sizeOf(baton, session)).cols).toBeLessThan(60);
  const { cols, rows: high } = await sizeOf(baton, session);
  expect(high).toBeGreaterThan(25);
  // The size is known before its event is kept.
  await expect.poll(() => resizes(baton, session)).toBeGreaterThan(0);
  await page.keyboard.type(`for i in $(seq ${high * 2}); do echo row $i; done\n`);
  await shows(page, `row ${high * 2}\n$`);
  const before = await resizes(baton, session);

  await page.setViewportSize(WITH_KEYBOARD);
  const cursorInSight = (): Promise<boolean> => page.evaluate(() => {
    const box = document.querySelector("#terminal")?.getBoundingClientRect();
    const cursor = document.querySelector(".xterm-helper-textarea")?.getBoundingClientRect();
    return box !== undefined && cursor !== undefined && cursor.top >= box.top - 1 && cursor.bottom <= box.bottom + 2;
  });
  await expect.poll(cursorInSight).toBe(true);
  await page.keyboard.type("echo under the thu\\mb\n");
  await shows(page, "under the thumb");
  await expect.poll(cursorInSight).toBe(true);
  await expect(page.getByTestId("key-bar")).toBeInViewport();
  expect(await sizeOf(baton, session)).toEqual({ cols, rows: high });
  await page.setViewportSize(PORTRAIT);
  await page.keyboard.type("echo clo\\sed\n");
  await shows(page, "\nclosed");
  expect(await resizes(baton, session)).toBe(before);

  await page.setViewportSize(LANDSCAPE);
  await expect.poll(async () => (await sizeOf(baton, session)).cols).toBeGreaterThan(85);
  await page.keyboard.type("echo rotat\\ed\n");
  await shows(page, "\nrotated");
  await expect.poll(() => resizes(baton, session)).toBe(before + 1);
});

test("a wide session is readable: at reading size it scrolls, and two fingers zoom", async ({ baton, page }) => {
  const session = await baton.shell("wide", { cols: 200, rows: 50 });
  await baton.type(session, "echo $(seq -s. 1 60)\n");
  await open(page, baton, session);
  await shows(page, "59.60");
  const font = (): Promise<number> => page.locator(".xterm-rows").evaluate((element) => Number.parseFloat(getComputedStyle(element).fontSize));
  expect(await font()).toBeGreaterThanOrEqual(8);
  await key(page, "A+, show the screen at reading size");
  await expect.poll(font).toBe(14);
  const scrolled = (): Promise<number> => page.getByTestId("terminal").evaluate((element) => element.scrollLeft);
  const fingers = await Fingers.on(page);
  await fingers.drag({ x: 300, y: 300 }, { x: 60, y: 300 });
  expect(await scrolled()).toBeGreaterThan(150);
  await fingers.down({ x: 150, y: 300 }, { x: 220, y: 300 });
  await fingers.move({ x: 120, y: 300 }, { x: 260, y: 300 });
  await fingers.up();
  await expect.poll(font).toBe(28);
  await key(page, "Fit the screen into the window");
  await expect.poll(font).toBeLessThan(14);
  expect(await sizeOf(baton, session)).toEqual({ cols: 200, rows: 50 });
  // The page itself is as wide as the phone.
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(PORTRAIT.width);
});

test("one finger scrolls back, one that rests selects a word, and a button copies it", async ({ baton, page, context }) => {
  const session = await baton.shell("read", { cols: 40, rows: 30 });
  await baton.type(session, "for i in $(seq 100); do echo number-$i end; done\n");
  await open(page, baton, session);
  await shows(page, "number-100 end");
  const fingers = await Fingers.on(page);
  await fingers.drag({ x: 180, y: 250 }, { x: 180, y: 480 });
  await expect.poll(() => rows(page)).not.toContain("number-100 end");

  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const word = await page.evaluate(() => {
    const row = [...document.querySelectorAll(".xterm-rows > div")].find((line) => /^number-\d+ end/.test(line.textContent ?? ""));
    const { left, top, height } = row?.getBoundingClientRect() ?? { left: 0, top: 0, height: 0 };
    return { x: left + 20, y: top + height / 2, text: /^number-\d+/.exec(row?.textContent ?? "")?.[0] ?? "" };
  });
  await fingers.down(word);
  await expect(page.getByTestId("touch-copy")).toBeVisible();
  await fingers.up();
  await page.getByTestId("touch-copy-button").tap();
  await expect(page.getByTestId("notice")).toContainText("Copied.");
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(word.text);
  await expect(page.getByTestId("touch-copy")).toHaveCount(0);
});

test("one finger turns the wheel of a full-screen program", async ({ baton, page }) => {
  const session = await baton.shell("pager", { command: ["bash", "--norc", "-c", "seq 300 | less"] });
  await open(page, baton, session);
  await takeOver(page);
  await shows(page, /^1\n2\n/);
  const fingers = await Fingers.on(page);
  await fingers.drag({ x: 180, y: 480 }, { x: 180, y: 250 });
  await expect.poll(() => rows(page)).not.toMatch(/^1\n2\n/);
});

test("the session's name has room; the panels that the bar has none for are in the menu", async ({ baton, page }) => {
  await open(page, baton, await baton.shell("release notes"));
  expect((await page.getByTestId("rename").boundingBox())?.width ?? 0).toBeGreaterThan(60);
  await page.getByTestId("session-menu").tap();
  await page.getByTestId("menu-panel-logs").tap();
  await expect(page.getByTestId("side-panel")).toHaveAttribute("data-panel", "logs");
});

test("it can be installed", async ({ baton, page }) => {
  await open(page, baton, await baton.shell("installed"));
  const { cdp } = await Fingers.on(page);
  const { errors, data, url } = await cdp.send("Page.getAppManifest");
  expect(errors).toEqual([]);
  expect(url).toContain("/manifest.webmanifest");
  const manifest = JSON.parse(data ?? "{}") as { display: string; icons: { src: string; sizes: string }[] };
  expect(manifest.display).toBe("standalone");
  const icons = await page.evaluate((icons) => Promise.all(icons.map(async ({ src, sizes }) => {
    const image = new Image();
    image.src = src;
    await image.decode();
    return sizes === "any" || sizes === `${image.naturalWidth}x${image.naturalHeight}`;
  })), manifest.icons);
  expect(icons).toEqual(manifest.icons.map(() => true));
  const { installabilityErrors } = await cdp.send("Page.getInstallabilityErrors");
  // A browser's window that is a test's own may not install; everything else is the page's.
  expect(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito")).toEqual([]);
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`nothing is too small, cut off or in the way, ${colorScheme}`, async ({ baton, page }) => {
    await page.emulateMedia({ colorScheme });
    const session = await baton.shell("small");
    await open(page, baton, session);
    await takeOver(page);
    await key(page, "More keys");
    const small = await page.evaluate(() => [...document.querySelectorAll<HTMLElement>(".key-bar button, .lease-bar button, .lease-bar summary")]
      .filter((element) => element.offsetParent !== null)
      .map((element) => ({ name: element.getAttribute("aria-label") ?? element.textContent, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.width < 44 || box.height < 44 || box.left < 0 || box.right > innerWidth)
      .map(({ name, box }) => `${name}: ${box.width} × ${box.height} at ${box.left}`));
    expect(small).toEqual([]);
    await noViolations(page);
    // What is said does not lie on the keys.
    await baton.api("POST", `/v1/terminal/sessions/${session}/release`, { client_id: await page.evaluate(() => sessionStorage.getItem("baton.client_id")) });
    const notice = page.getByTestId("notice").first();
    await expect(notice).toBeVisible();
    const [said, keys] = [await notice.boundingBox(), await page.getByTestId("key-bar").boundingBox()];
    expect((said?.y ?? 0) + (said?.height ?? 0)).toBeLessThan(keys?.y ?? 0);
    expect(await page.locator('meta[name="theme-color"]').first().getAttribute("content")).toBe(colorScheme === "dark" ? "#14181e" : "#f5f7f9");
    await live(page);
  });
}
