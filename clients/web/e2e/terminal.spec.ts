/** The terminal beside its bytes: floods, sizes, clipboard, pastes, links, images and settings. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import { claim, expect, open, rows, shows, test, trimmed } from "./support/test";

const cells = (page: Page): Promise<string> => page.evaluate(() => `${window.batonTest?.cols()}x${window.batonTest?.rows()}`);
const clipboard = (page: Page): Promise<string> => page.evaluate(() => navigator.clipboard.readText());

/** Pastes as the browser does, with whatever is on the clipboard. */
async function paste(page: Page, text: string): Promise<void> {
  await page.evaluate((plain) => {
    const data = new DataTransfer();
    data.setData("text/plain", plain);
    document.querySelector("#terminal textarea")?.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }, text);
}

/** A cat that shows what it is given, to the byte, without a program that reads lines in between. */
async function showInput(page: Page): Promise<void> {
  await page.keyboard.type("stty -echo -icanon min 1; cat -v\n");
  await shows(page, "cat -v");
}

test.describe("output", () => {
  test("50 MiB arrive in order: the last line stands there, and the screen is the worker's", async ({ baton, page }) => {
    const session = await baton.shell("flood");
    await open(page, baton, session);
    await claim(page);
    await page.keyboard.type("seq -f '%.0f abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz' 1 850000; echo over-$((1 + 1))\n");
    await expect.poll(() => rows(page), { timeout: 80_000 }).toMatch(/^over-2 *$/m);
    expect(await rows(page)).toContain("850000 abc");
    const screen = await baton.screen(session);
    expect(trimmed(await rows(page))).toBe(trimmed(screen));
  });

  test("an image is told of and changes nothing on the screen, however large it says it is", async ({ baton, page }) => {
    const session = await baton.shell("images");
    await open(page, baton, session);
    await claim(page);
    const sixel = '\x1bPq"1;1;999999999;999999999#0;2;100;0;0!999999999~-!999999999~\x1b\\';
    const inline = `\x1b]1337;File=inline=1;width=99999999;height=99999999:${"iVBORw0KGgo".repeat(1000)}\x07`;
    writeFileSync(join(baton.scratch, "images"), `A${sixel}B${inline}C\r\n`);
    await page.keyboard.type("clear; cat images; echo after\n");
    await shows(page, /^ABC *$/m);
    await shows(page, /^after *$/m);
    await expect(page.getByTestId("notice")).toContainText("sent an image");
    expect(trimmed(await rows(page))).toBe(trimmed(await baton.screen(session)));
  });

  test("the bell lights up the edge where that is wanted", async ({ baton, page }) => {
    await page.addInitScript(() => localStorage.setItem("baton.settings", JSON.stringify({ bell: "flash" })));
    const session = await baton.shell("bell");
    await open(page, baton, session);
    await claim(page);
    await page.evaluate(() => {
      const seen = { flashed: 0 };
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes) if (node instanceof HTMLElement && node.classList.contains("bell-flash")) seen.flashed += 1;
      }).observe(document.body, { subtree: true, childList: true });
      Object.assign(window, { seen });
    });
    await page.keyboard.type("printf '\\a'\n");
    await expect.poll(() => page.evaluate(() => (window as unknown as { seen: { flashed: number } }).seen.flashed)).toBe(1);
  });
});

test.describe("size", () => {
  test("is the owner's window; who watches scales, and changes nothing", async ({ baton, page, browser }) => {
    const session = await baton.shell("sizes");
    await open(page, baton, session);
    await claim(page);
    await expect.poll(() => cells(page)).not.toBe("100x30");
    const owned = await cells(page);
    const observer = await browser.newPage({ viewport: { width: 1100, height: 760 } });
    await open(observer, baton, session);
    await expect.poll(() => cells(observer)).toBe(owned);
    // All of it is in sight: the font gave way.
    const fits = (): Promise<boolean> => observer.evaluate(() => {
      const [box, screen] = [document.querySelector("#terminal"), document.querySelector("#terminal .xterm-screen")];
      return !!box && !!screen && screen.getBoundingClientRect().width <= box.clientWidth && screen.getBoundingClientRect().height <= box.clientHeight + 1;
    });
    await expect.poll(fits).toBe(true);
    for (const size of [{ width: 900, height: 400 }, { width: 1500, height: 1000 }, { width: 375, height: 812 }]) {
      await observer.setViewportSize(size);
      await expect.poll(() => observer.evaluate(() => document.querySelector("#terminal")?.clientWidth ?? 0)).toBeLessThanOrEqual(size.width);
      expect(await cells(observer)).toBe(owned);
    }
    await page.setViewportSize({ width: 1000, height: 600 });
    await expect.poll(() => cells(page)).not.toBe(owned);
    const smaller = await cells(page);
    await expect.poll(() => cells(observer)).toBe(smaller);
    const { size } = await baton.api<{ size: { cols: number; rows: number } }>("GET", `/v1/sessions/${session}`);
    expect(`${size.cols}x${size.rows}`).toBe(smaller);
    // A larger window than the session's shows its edge instead of stretching it.
    await observer.setViewportSize({ width: 1800, height: 1200 });
    await expect(observer.locator("#terminal .xterm")).toHaveAttribute("data-smaller", "true");
    await observer.close();
  });

  test("fixed stays, and capped is clipped, whoever owns it", async ({ baton, page }) => {
    const fixed = await baton.shell("fixed", { size: { policy: "fixed", cols: 90, rows: 25 }, cols: 90, rows: 25 });
    await open(page, baton, fixed);
    await claim(page);
    await page.setViewportSize({ width: 1200, height: 700 });
    await page.keyboard.type("stty size\n");
    await shows(page, /^25 90 *$/m);
    expect(await cells(page)).toBe("90x25");
    const capped = await baton.shell("capped", { cols: 70, rows: 20, size: { policy: "cap", cols: 70, rows: 20, max_cols: 70, max_rows: 20 } });
    await page.getByTestId("session-list").getByText("capped").click();
    await claim(page);
    await expect.poll(() => cells(page)).toBe("70x20");
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.keyboard.type("stty size\n");
    await shows(page, /^20 70 *$/m);
    expect(capped).not.toBe(fixed);
  });

  test("latency and connection are in sight at every width", async ({ baton, page }) => {
    const session = await baton.shell("widths");
    await open(page, baton, session);
    for (const width of [1440, 1024, 375]) {
      await page.setViewportSize({ width, height: 812 });
      for (const part of [page.getByTestId("connection-state"), page.locator(".rtt"), page.locator(".top-actions")]) {
        await expect(part).toBeVisible();
        const box = await part.boundingBox();
        expect(box?.x).toBeGreaterThanOrEqual(0);
        expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(width);
      }
    }
  });
});

test.describe("clipboard", () => {
  test.use({ permissions: ["clipboard-read", "clipboard-write"] });
  const set = (text: string): string => `printf '\\033]52;c;%s\\a' ${Buffer.from(text).toString("base64")}\n`;

  test("a program asks before it sets it; once, always, and denied", async ({ baton, page }) => {
    const session = await baton.shell("osc 52");
    await open(page, baton, session);
    await claim(page);
    await page.evaluate(() => navigator.clipboard.writeText("mine"));
    await page.keyboard.type(set("one \u202eodd"));
    await expect(page.getByTestId("clipboard-offer")).toContainText("8 characters");
    await expect(page.getByTestId("clipboard-text")).toHaveText("one \\u{202e}odd");
    await noViolations(page, "[data-testid=clipboard-offer]");
    expect(await clipboard(page)).toBe("mine");
    await page.getByTestId("clipboard-deny").click();
    await expect(page.getByTestId("clipboard-offer")).toBeHidden();
    expect(await clipboard(page)).toBe("mine");
    await page.keyboard.type(set("two"));
    await page.getByTestId("clipboard-once").click();
    await expect.poll(() => clipboard(page)).toBe("two");
    await page.keyboard.type(set("three"));
    await page.getByTestId("clipboard-always").click();
    await expect.poll(() => clipboard(page)).toBe("three");
    await page.keyboard.type(set("four"));
    await expect.poll(() => clipboard(page)).toBe("four");
  });

  test("the answer is given by keys alone, and the keyboard goes back to the terminal", async ({ baton, page }) => {
    const session = await baton.shell("by keys");
    await open(page, baton, session);
    await claim(page);
    await page.keyboard.type(set("by keys"));
    await expect(page.getByTestId("clipboard-once")).toBeEnabled();
    await page.keyboard.press("Control+F6");
    await expect(page.getByTestId("clipboard-once")).toBeFocused();
    await page.keyboard.press("Enter");
    await expect.poll(() => clipboard(page)).toBe("by keys");
    await page.keyboard.type("echo typed on\n");
    await shows(page, /^typed on *$/m);
  });

  test("only live output of one's own counts, and nobody reads it", async ({ baton, page, browser }) => {
    const session = await baton.shell("whose");
    await open(page, baton, session);
    await claim(page);
    const context = await browser.newContext();
    const observer = await context.newPage();
    await open(observer, baton, session);
    await page.evaluate(() => navigator.clipboard.writeText("private words"));
    await page.keyboard.type(set("for the owner"));
    await expect(page.getByTestId("clipboard-offer")).toBeVisible();
    await page.keyboard.type("echo sent\n");
    await shows(observer, /^sent *$/m);
    await expect(observer.getByTestId("clipboard-offer")).toHaveCount(0);
    // What is replayed to a page that comes back is nobody's wish any more.
    await page.reload();
    await shows(page, /^sent *$/m);
    await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "mine");
    await expect(page.getByTestId("clipboard-offer")).toHaveCount(0);
    await page.getByTestId("terminal").click();
    await page.keyboard.type("stty -echo; printf '\\033]52;c;?\\a'; IFS= read -rs -t 1 -n 8 said; stty echo; echo \"said:${said@Q}.\"\n");
    await shows(page, "said:''.");
    await context.close();
  });

  test("what is marked is copied by the keys, and by marking it where that is wanted", async ({ baton, page }) => {
    const session = await baton.shell("copying");
    await open(page, baton, session);
    await claim(page);
    await page.keyboard.type("clear; echo chosen\n");
    await shows(page, /^chosen *$/m);
    const word = async (): Promise<void> => {
      const box = await page.locator("#terminal .xterm-screen").boundingBox();
      await page.mouse.dblclick((box?.x ?? 0) + 12, (box?.y ?? 0) + 8);
    };
    // With nothing marked the browser would open its tools.
    await page.evaluate(() => addEventListener("keydown", ({ code, defaultPrevented }) => code === "KeyC" && (document.body.dataset["copyKept"] = String(defaultPrevented))));
    await page.keyboard.press("Control+Shift+C");
    await expect(page.locator("body")).toHaveAttribute("data-copy-kept", "true");
    await word();
    await page.keyboard.press("Control+Shift+C");
    await expect.poll(() => clipboard(page)).toBe("chosen");
    // The browser's own menu finds what is marked, and a field to paste into, under the mouse.
    const corner = await page.locator("#terminal .xterm-screen").boundingBox();
    await page.mouse.click((corner?.x ?? 0) + 12, (corner?.y ?? 0) + 8, { button: "right" });
    expect(await page.evaluate(() => document.activeElement instanceof HTMLTextAreaElement && document.activeElement.value)).toBe("chosen");
    await page.evaluate(() => navigator.clipboard.writeText("before"));
    await page.getByTestId("settings-menu").click();
    await page.getByTestId("screen-settings").click();
    await page.getByTestId("setting-copy_on_select").check();
    await page.getByRole("button", { name: "Done" }).click();
    await word();
    await expect.poll(() => clipboard(page)).toBe("chosen");
    await page.evaluate(() => navigator.clipboard.writeText("from the keys"));
    await page.getByTestId("terminal").click();
    await page.keyboard.type("echo ");
    await page.keyboard.press("Control+Shift+V");
    await shows(page, "echo from the keys");
  });
});

test.describe("pastes", () => {
  test("of several lines are asked about where each would run; the text is shown as it is", async ({ baton, page }) => {
    const session = await baton.shell("lines");
    await open(page, baton, session);
    await claim(page);
    await showInput(page);
    await paste(page, "first\nsec\u200bond\x1b[201~\nthird");
    const dialog = page.getByRole("dialog");
    await expect(dialog).toContainText("3 lines");
    await expect(page.getByTestId("paste-preview")).toHaveText("first\nsec\\u{200b}ond\\x1b[201~\nthird");
    for (const colorScheme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme });
      await noViolations(page, "dialog[open]");
    }
    await page.keyboard.press("Escape");
    await expect(dialog).toBeHidden();
    await paste(page, "first\nsecond\n");
    await page.getByTestId("paste-one-line").click();
    await shows(page, /first second *$/m);
    await paste(page, "a\r\nb\x1b[201~\x03c");
    await page.getByTestId("paste-anyway").click();
    // Neither the Escape nor the interrupt was typed; `cat -v` shows what was.
    await expect.poll(() => rows(page)).toMatch(/a\s+b\[201~c *$/m);
    expect(await rows(page)).not.toContain("^[");
  });

  test("go at once into a program that marks them, and cannot end the mark", async ({ baton, page }) => {
    const session = await baton.shell("marked");
    await open(page, baton, session);
    await claim(page);
    // A reader of raw bytes that asks for marked pastes.
    writeFileSync(join(baton.scratch, "marked.py"), "import os,tty\ntty.setraw(0)\nos.write(1,b'\\x1b[?2004hready\\r\\n')\nwhile True:\n n=b''\n while not n.endswith(b'\\x1b[201~'): n+=os.read(0,1)\n os.write(1,repr(n).encode()+b'\\r\\n')\n");
    await page.keyboard.type("python3 marked.py\n");
    await shows(page, /^ready *$/m);
    await paste(page, "one\ntwo\n");
    await shows(page, String.raw`b'\x1b[200~one\rtwo\r\x1b[201~'`);
    expect(await page.getByRole("dialog").count()).toBe(0);
    await paste(page, "safe\x1b[201~rm -rf x\n");
    await page.getByTestId("paste-anyway").click();
    await shows(page, String.raw`b'\x1b[200~safe[201~rm -rf x\r\x1b[201~'`);
  });

  test("of a MiB go in pieces, whole; and stop when told to", async ({ baton, page }) => {
    const session = await baton.shell("large");
    await open(page, baton, session);
    await claim(page);
    await page.keyboard.type("stty -echo raw; head -c 1048576 | sha256sum; stty sane; echo taken\n");
    await shows(page, "echo taken");
    const text = "0123456789abcdef".repeat(65_536);
    await paste(page, text);
    await expect(page.getByRole("dialog")).toContainText("1.0 MiB");
    await page.getByTestId("paste-anyway").click();
    const { createHash } = await import("node:crypto");
    await shows(page, createHash("sha256").update(text).digest("hex"));
    await shows(page, /^ *taken *$/m);
    await expect(page.getByTestId("paste-progress")).toHaveCount(0);
    // Nobody reads: what is in flight waits, and the rest can be called off.
    await page.keyboard.type("stty raw -echo; sleep 1000\n");
    await shows(page, "sleep 1000");
    await paste(page, text);
    await page.getByTestId("paste-anyway").click();
    await expect(page.getByTestId("paste-progress")).toBeVisible();
    await page.getByTestId("paste-cancel").click();
    await expect(page.getByTestId("paste-progress")).toHaveCount(0);
    await expect(page.getByTestId("notice").filter({ hasText: "rest of the paste was not typed" })).toBeVisible();
  });

  test("of an image say that it cannot be typed", async ({ baton, page }) => {
    const session = await baton.shell("picture");
    await open(page, baton, session);
    await claim(page);
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array([137, 80, 78, 71])], "picture.png", { type: "image/png" }));
      document.querySelector("#terminal textarea")?.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    });
    await expect(page.getByTestId("notice")).toContainText("cannot be typed");
  });

  test("are not asked about where somebody switched that off, nor typed where another has control", async ({ baton, page, browser }) => {
    await page.addInitScript(() => localStorage.setItem("baton.settings", JSON.stringify({ paste_guard: false })));
    const session = await baton.shell("off");
    await open(page, baton, session);
    await claim(page);
    await showInput(page);
    await paste(page, "first\nsecond");
    await shows(page, /first\s+second *$/m);
    const observer = await browser.newPage();
    await open(observer, baton, session);
    await paste(observer, "x\ny");
    await expect(observer.getByTestId("held-hint")).toBeVisible();
    expect(await observer.getByRole("dialog").count()).toBe(0);
    await observer.close();
  });
});

test.describe("links", () => {
  test("show their target; one behind other words is asked about, and only the web is opened", async ({ baton, page, context }) => {
    const session = await baton.shell("links");
    await open(page, baton, session);
    await claim(page);
    writeFileSync(join(baton.scratch, "links"), "\x1b[2J\x1b[Hhttp://plain.invalid/a\r\n\x1b]8;;http://other.invalid/b\x07https://bank.example\x1b]8;;\x07\r\n\x1b]8;;file:///etc/passwd\x07a file\x1b]8;;\x07\r\n");
    await page.keyboard.type("cat links\n");
    await shows(page, /^a file/m);
    const box = await page.locator("#terminal .xterm-screen").boundingBox();
    const height = (box?.height ?? 0) / Number((await cells(page)).split("x")[1]);
    const row = (at: number) => ({ x: (box?.x ?? 0) + 30, y: (box?.y ?? 0) + (at + 0.5) * height });
    await page.mouse.move(row(0).x, row(0).y);
    await expect(page.getByTestId("link-target")).toHaveText("http://plain.invalid/a");
    await page.mouse.move(row(1).x, row(1).y, { steps: 3 });
    await expect(page.getByTestId("link-target")).toHaveText("http://other.invalid/b");
    await page.mouse.click(row(1).x, row(1).y);
    await expect(page.getByTestId("link-asked")).toHaveText("http://other.invalid/b");
    await noViolations(page, "dialog[open]");
    const [opened] = await Promise.all([context.waitForEvent("page"), page.getByTestId("link-open").click()]);
    expect(await opened.evaluate(() => window.opener)).toBeNull();
    await opened.close();
    await page.mouse.move(row(2).x, row(2).y, { steps: 3 });
    await page.mouse.click(row(2).x, row(2).y);
    await expect(page.getByTestId("link-asked")).toHaveCount(0);
    expect(context.pages().length).toBe(1);
  });
});

test.describe("settings", () => {
  test("hold at once, stay in this browser, and have no violations in either theme", async ({ baton, page }) => {
    const session = await baton.shell("settings");
    await open(page, baton, session);
    await page.getByTestId("settings-menu").click();
    await page.getByTestId("screen-settings").click();
    const dialog = page.getByRole("dialog");
    for (const colorScheme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme });
      await expect(page.locator(`html[data-shade=${colorScheme}]`)).toBeAttached();
      await noViolations(page, "dialog[open]");
    }
    const ground = (): Promise<string> => page.locator("#terminal .xterm-scrollable-element").evaluate((element) => getComputedStyle(element).backgroundColor);
    const before = await ground();
    await dialog.getByRole("radio", { name: "Warm" }).check();
    await expect.poll(ground).not.toBe(before);
    await dialog.getByTestId("font-family").fill("Menlo}; body{display:none");
    await expect(dialog.getByTestId("font-family")).toHaveValue("Menlo bodydisplaynone");
    await dialog.getByRole("radio", { name: "Underline" }).check();
    await dialog.getByRole("button", { name: "Done" }).click();
    const chosen = await ground();
    await page.reload();
    await expect.poll(ground).toBe(chosen);
    const stored = await page.evaluate(() => JSON.parse(localStorage.getItem("baton.settings") ?? "{}") as Record<string, unknown>);
    expect(stored).toMatchObject({ palette: "warm", cursor: "underline", font_family: "Menlo bodydisplaynone" });
  });

  test("text grows and shrinks by the keys, and search opens", async ({ baton, page }) => {
    const session = await baton.shell("zoom");
    await open(page, baton, session);
    await claim(page);
    const size = (): Promise<unknown> => page.evaluate(() => (JSON.parse(localStorage.getItem("baton.settings") ?? "{}") as { font_px: number }).font_px);
    await page.keyboard.press("Control+Shift+Equal");
    await expect.poll(size).toBe(15);
    await page.keyboard.press("Control+Shift+Minus");
    await page.keyboard.press("Control+Shift+Minus");
    await expect.poll(size).toBe(13);
    await page.keyboard.press("Control+Shift+Digit0");
    await expect.poll(size).toBe(14);
    await page.keyboard.press("Control+Shift+F");
    await expect(page.locator(".search-panel input")).toBeFocused();
    await page.keyboard.press("Escape");
    await expect(page.locator(".search-panel")).toHaveCount(0);
    await page.keyboard.type("echo typed on\n");
    await shows(page, /^typed on *$/m);
  });
});
