/** Keys on a slow link: shown at once where the program echoes, never where it does not. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import type { Baton } from "./support/baton";
import { BEHIND_A_LINK, SlowLink } from "./support/slow_link";
import { claim, expect, live, rows, shows, test } from "./support/test";

const EACH_WAY_MS = 150;
/** A person's pause between two keys: longer than a program has to be silent before the next key's echo is told from the last one's (`QUIET_MS`). */
const A_MOMENT_MS = 150;

test.use({ configuration: BEHIND_A_LINK });

async function openSlowly(page: Page, baton: Baton, session: string): Promise<SlowLink> {
  const link = await SlowLink.open(baton.url, EACH_WAY_MS);
  await page.goto(link.by(await baton.link(session)));
  await live(page);
  await expect(page.locator(".rtt")).toHaveText(/[2-9]\d\d ms/);
  await claim(page);
  return link;
}

/** What is shown over the cells and not confirmed. */
function guessed(page: Page): Promise<string> {
  return page.locator(".echo-guess").allTextContents().then((texts) => texts.join(""));
}

/** The browser has drawn what it was told. */
async function drawn(page: Page): Promise<void> {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

/** Types as a person does: the first letter is waited for, as the prompt was. */
async function earnConfidence(page: Page, letter: string): Promise<void> {
  await page.keyboard.type(letter);
  await expect.poll(() => rows(page)).toMatch(new RegExp(`\\$ ${letter}\\s*$`));
}

/** Watches everything that is ever in the document, the text fields' values too. */
async function canary(page: Page, secret: string): Promise<() => Promise<string[]>> {
  await page.evaluate((word) => {
    const found: string[] = [];
    const look = (): void => {
      const fields = [...document.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>("input, textarea")].map(({ value }) => value);
      const text = [document.documentElement.outerHTML, ...fields].join("\n");
      // The letters of a guess stand apart; joined they would be the word.
      const layer = [...document.querySelectorAll(".echo-layer")].map(({ textContent }) => textContent).join("");
      for (let from = 0; from + 3 <= word.length; from++) if (`${text}\n${layer}`.includes(word.slice(from, from + 3))) found.push(word.slice(from, from + 3));
      if (layer !== "") found.push(`layer: ${layer}`);
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    document.addEventListener("input", look, true);
    Object.assign(window, { canary: () => (look(), found) });
  }, secret);
  return () => page.evaluate(() => (window as unknown as { canary(): string[] }).canary());
}

test("letters are shown before the answer arrives, underlined, and confirmed by it", async ({ baton, page }) => {
  const session = await baton.shell("slow");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  await earnConfidence(page, "e");
  link.hold();
  await page.keyboard.type("cho sooner");
  await expect.poll(() => guessed(page)).toBe("chosooner");
  // The answer has not come: the emulator knows nothing of it.
  expect(await rows(page)).not.toContain("ech");
  await expect(page.locator(".echo-guess").first()).toHaveCSS("text-decoration-line", "underline");
  await page.keyboard.press("Backspace");
  await expect.poll(() => guessed(page)).toBe("chosoone");
  await page.keyboard.type("r");
  link.letGo();
  await shows(page, "$ echo sooner");
  await expect.poll(() => guessed(page)).toBe("");
  await page.keyboard.press("Enter");
  await shows(page, /^sooner$/m);
  await link.end();
});

test("nothing of a password is ever in the page", async ({ baton, page }) => {
  const session = await baton.shell("secret");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  await earnConfidence(page, "r");
  await page.keyboard.type("ead -rs -p 'Password: ' word; echo; echo ${#word} letters\n");
  await shows(page, /^Password: $/m);
  const seen = await canary(page, "Xq7zKw9pJv");
  await page.keyboard.type("Xq7zKw9pJv", { delay: 60 });
  await page.keyboard.press("Enter");
  await shows(page, "10 letters");
  expect(await seen()).toEqual([]);
  await link.end();
});

test("nothing of what is typed ahead of a password prompt is shown either", async ({ baton, page }) => {
  const session = await baton.shell("ahead");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  await earnConfidence(page, "s");
  const seen = await canary(page, "Xq7zKw9pJv");
  await page.keyboard.type("tty -echo; read -r word; stty echo; echo ${#word} letters");
  await expect.poll(() => rows(page)).toContain("letters");
  await expect.poll(() => guessed(page)).toBe("");
  await page.evaluate(() => (window as unknown as { canary(): string[] }).canary().splice(0));
  await page.keyboard.press("Enter");
  await page.keyboard.type("Xq7zKw9pJv");
  await page.keyboard.press("Enter");
  await shows(page, /10 letters$/m);
  // What the kernel echoed before the program switched that off is the screen's; of guesses there is none.
  expect((await seen()).filter((found) => found.startsWith("layer: "))).toEqual([]);
  await link.end();
});

test("in vim's insert mode, once it has echoed there", async ({ baton, page }) => {
  const session = await baton.shell("vim");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  await page.keyboard.type("vim -u NONE -N -i NONE poem\n");
  await shows(page, /^~ *$/m);
  await page.keyboard.type("i");
  await shows(page, "-- INSERT --");
  // `i` was a letter that vim did not echo; some of what follows has to be echoed before more is believed.
  let typed = "";
  for (const letter of "confidence") {
    link.hold();
    typed += letter;
    await page.keyboard.type(letter);
    await drawn(page);
    if ((await guessed(page)) === letter) break;
    link.letGo();
    await expect.poll(() => rows(page)).toMatch(new RegExp(`^${typed} *$`, "m"));
    await page.waitForTimeout(A_MOMENT_MS);
  }
  expect(typed.length).toBeGreaterThan(1);
  expect(await guessed(page)).toBe(typed.at(-1));
  await page.keyboard.type(" in vim");
  await expect.poll(() => guessed(page)).toBe(`${typed.at(-1)}invim`);
  link.letGo();
  await expect.poll(() => rows(page)).toMatch(new RegExp(`^${typed} in vim *$`, "m"));
  await expect.poll(() => guessed(page)).toBe("");
  // Commands are no text: what they do to the screen nobody guesses.
  await page.keyboard.press("Escape");
  await page.keyboard.type("0x");
  await expect.poll(() => rows(page)).toMatch(new RegExp(`^${typed.slice(1)} in vim *$`, "m"));
  await expect.poll(() => guessed(page)).toBe("");
  await link.end();
});

test("a wrong guess is withdrawn, and the screen is what the program made it", async ({ baton, page }) => {
  const session = await baton.shell("stars");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  // Echoes two letters as they are, and stars for the rest.
  const program = "import os,tty;tty.setraw(0);os.write(1,b'ready\\r\\n')\nn=0\nwhile True:\n c=os.read(0,1)\n if c==b'q': break\n n+=1;os.write(1,c if n<3 else b'*')\n";
  writeFileSync(join(baton.scratch, "stars.py"), program);
  await page.keyboard.type("python3 stars.py; echo over\n");
  await shows(page, /^ready$/m);
  await page.keyboard.type("a");
  await expect.poll(() => rows(page)).toMatch(/^a\s*$/m);
  link.hold();
  await page.keyboard.type("bcd");
  await expect.poll(() => guessed(page)).toBe("bcd");
  link.letGo();
  await expect.poll(() => guessed(page)).toBe("");
  await expect.poll(() => rows(page)).toMatch(/^ab\*\*\s*$/m);
  await page.keyboard.type("q");
  await shows(page, /^ab\*\*over/m);
  await link.end();
});

test("never means never", async ({ baton, page }) => {
  await page.addInitScript(() => localStorage.setItem("baton.settings", JSON.stringify({ echo: "never" })));
  const session = await baton.shell("never");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  await earnConfidence(page, "e");
  const seen = await canary(page, "Zq8wKx");
  link.hold();
  await page.keyboard.type("cho Zq8wKx");
  // The browser has had its turn: a guess would be there.
  await drawn(page);
  expect(await seen()).toEqual([]);
  link.letGo();
  await shows(page, "$ echo Zq8wKx");
  await expect(page.locator(".echo-guess")).toHaveCount(0);
  await link.end();
});

test("always means on a fast link, too", async ({ baton, page }) => {
  await page.addInitScript(() => localStorage.setItem("baton.settings", JSON.stringify({ echo: "always" })));
  const session = await baton.shell("always");
  const link = await SlowLink.open(baton.url, 0);
  await page.goto(link.by(await baton.link(session)));
  await live(page);
  await claim(page);
  await shows(page, "$");
  await earnConfidence(page, "e");
  link.hold();
  await page.keyboard.type("cho");
  await expect.poll(() => guessed(page)).toBe("cho");
  link.letGo();
  await shows(page, "$ echo");
  await expect.poll(() => guessed(page)).toBe("");
  await link.end();
});

test("what is guessed goes with control, and with the connection", async ({ baton, page }) => {
  const session = await baton.shell("taken");
  const link = await openSlowly(page, baton, session);
  await shows(page, "$");
  await earnConfidence(page, "e");
  link.hold();
  const other = crypto.randomUUID();
  await baton.api("POST", `/v1/terminal/sessions/${session}/claim`, { client_id: other, force: true });
  await page.keyboard.type("xyz");
  await expect.poll(() => guessed(page)).toBe("xyz");
  link.letGo();
  await expect(page.getByTestId("lease-state")).toHaveAttribute("data-state", "held");
  await expect.poll(() => guessed(page)).toBe("");
  await expect(page.getByTestId("taken-dropped")).toHaveText("3 bytes you typed were not sent.");
  expect(await rows(page)).not.toContain("xyz");

  await baton.api("POST", `/v1/terminal/sessions/${session}/detach`, { client_id: other });
  await claim(page);
  // Letter for letter until the program's echo is believed again.
  let typed = "e";
  for (const letter of "cho again") {
    link.hold();
    typed += letter;
    await page.keyboard.type(letter);
    await drawn(page);
    if ((await guessed(page)) === letter) break;
    link.letGo();
    await expect.poll(() => rows(page)).toMatch(new RegExp(`\\$ ${typed}\\s*$`));
    await page.waitForTimeout(A_MOMENT_MS);
  }
  expect(await guessed(page)).toBe(typed.at(-1));
  link.cut();
  await expect(page.getByTestId("connection-state")).not.toHaveAttribute("data-state", "live");
  await expect.poll(() => guessed(page)).toBe("");
  link.letGo();
  await live(page);
  // Nothing is lost: it was on its way, and is typed once.
  await expect.poll(() => rows(page)).toMatch(new RegExp(`\\$ ${typed}\\s*$`));
  await link.end();
});
