/**
 * A page of another origin, open in the browser of somebody who is signed in:
 * cookies know no ports, so this one is sent along, and nothing comes of it.
 */

import type { Page } from "@playwright/test";
import type { Baton } from "./support/baton";
import { neighbour } from "./support/neighbour";
import { expect, open, shows, test } from "./support/test";

interface Attempt {
  what: string;
  /** What a script there got to read; null when the browser kept it. */
  read: string | null;
}

/** Everything that a script can try without a key of its own. */
async function attack(page: Page, baton: Baton, session: string): Promise<Attempt[]> {
  return page.evaluate(async ({ url, session }) => {
    const request = async (what: string, path: string, init: RequestInit): Promise<Attempt> => {
      const answer = await fetch(url + path, { credentials: "include", ...init }).then((response) => response.text(), () => null);
      return { what, read: answer };
    };
    const socket = (what: string, path: string, protocols: string[]): Promise<Attempt> =>
      new Promise((resolve) => {
        const socket = new WebSocket(url.replace("http", "ws") + path, protocols);
        socket.onopen = () => socket.send(JSON.stringify({ type: "hello", client_id: "00000000-0000-4000-8000-000000000bad" }));
        socket.onmessage = ({ data }) => resolve({ what, read: String(data) });
        socket.onclose = () => resolve({ what, read: null });
      });
    const typing = JSON.stringify({ title: "planted", command: ["sh", "-c", "echo planted"] });
    return [
      await request("the list", "/v1/sessions", {}),
      await request("a session, without cross-origin questions", "/v1/terminal/sessions", { method: "POST", mode: "no-cors", body: typing }),
      await request("a session, as plain text", "/v1/terminal/sessions", { method: "POST", headers: { "Content-Type": "text/plain" }, body: typing }),
      await request("a session, as JSON", "/v1/terminal/sessions", { method: "POST", headers: { "Content-Type": "application/json" }, body: typing }),
      await request("input", `/v1/terminal/sessions/${session}/input`, { method: "POST", mode: "no-cors", body: JSON.stringify({ client_id: "x", text: "planted\\n" }) }),
      await request("a link", "/v1/auth/links", { method: "POST", mode: "no-cors", body: JSON.stringify({ kind: "login" }) }),
      await request("signing in unasked", "/v1/auth/login", { method: "POST", mode: "no-cors", body: "{}" }),
      await socket("the terminal", `/v1/terminal/streams/${session}?client_id=00000000-0000-4000-8000-000000000bad`, []),
      await socket("the terminal, in binary", `/v1/terminal/streams/${session}?client_id=00000000-0000-4000-8000-000000000bad`, ["baton.v1.binary"]),
      await socket("the events", "/v1/events?output=0", []),
    ];
  }, { url: baton.url, session });
}

test("a page of another port reads nothing, types nothing, makes nothing and connects to nothing", async ({ baton, page, context }) => {
  const session = await baton.shell("guarded");
  await open(page, baton, session);
  await shows(page, "$");
  // Cookies do not tell ports apart: it is there for the other page too.
  expect((await context.cookies(baton.url)).length).toBeGreaterThan(0);
  const hostile = await neighbour("<title>a dev server</title>");
  const before = await baton.api<{ items: { id: string }[] }>("GET", "/v1/sessions");
  try {
    const other = await context.newPage();
    await other.goto(hostile.url);
    for (const { what, read } of await attack(other, baton, session)) expect(read || null, what).toBeNull();
    const after = await baton.api<{ items: { id: string }[] }>("GET", "/v1/sessions");
    expect(after.items.map(({ id }) => id)).toEqual(before.items.map(({ id }) => id));
    const { clients } = await baton.api<{ clients: unknown[] }>("GET", `/v1/sessions/${session}`);
    expect(clients).toHaveLength(1);
    await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
    expect(await page.evaluate(() => window.batonTest?.text() ?? "")).not.toContain("planted");
  } finally {
    await hostile.end();
  }
});

test("a form there sends nothing that counts, and no frame shows the page", async ({ baton, page, context }) => {
  const session = await baton.shell("guarded");
  await open(page, baton, session);
  const action = `${baton.url}/v1/terminal/sessions`;
  const hostile = await neighbour(`<title>a dev server</title>
    <form id="plant" method="post" enctype="text/plain" action="${action}"><input name='{"title":"planted","command":["true"],"x":"' value='"}'></form>
    <iframe src="${baton.url}/#session=${session}"></iframe>`);
  try {
    const other = await context.newPage();
    const refused = other.waitForEvent("console", { predicate: (message) => message.text().includes("frame-ancestors") }).catch(() => null);
    await other.goto(hostile.url);
    expect(await refused).not.toBeNull();
    const framed = other.frames().find((frame) => frame !== other.mainFrame());
    expect(await framed?.evaluate(() => document.querySelector("#app") !== null).catch(() => false)).toBe(false);
    const [answer] = await Promise.all([other.waitForResponse(action), other.evaluate(() => document.querySelector<HTMLFormElement>("#plant")?.submit())]);
    expect(answer.status()).toBeGreaterThanOrEqual(400);
    const { items } = await baton.api<{ items: { title: string }[] }>("GET", "/v1/sessions");
    expect(items.map(({ title }) => title)).toEqual(["guarded"]);
  } finally {
    await hostile.end();
  }
});

test("the same requests of the page itself are answered: what is refused there is the origin", async ({ baton, page }) => {
  const session = await baton.shell("guarded");
  await open(page, baton, session);
  const answered = await page.evaluate(async () => {
    const headers = { "X-Baton-Key": localStorage.getItem("baton.key") ?? "" };
    return (await fetch("/v1/sessions", { headers })).status;
  });
  expect(answered).toBe(200);
  // The cookie alone grants nothing, not even here.
  expect(await page.evaluate(async () => (await fetch("/v1/sessions")).status)).toBe(401);
});
