/** The audit view: who did what, and the row that somebody with the file has changed. */

import type { Page } from "@playwright/test";
import { noViolations } from "./support/axe";
import type { Baton } from "./support/baton";
import { sql } from "./support/database";
import { expect, open, test } from "./support/test";

interface Row {
  seq: number;
  action: string;
  actor: { id: string };
  hash: string;
}

async function openAudit(page: Page): Promise<void> {
  await page.getByTestId("panel-audit").click();
  await expect(page.getByTestId("audit-row").first()).toBeVisible();
}

function shown(page: Page): Promise<number[]> {
  return page.getByTestId("audit-row").evaluateAll((rows) => rows.map((row) => Number(row.dataset["seq"])));
}

/** Somebody with the file removes the trigger that keeps it append-only, and changes a row. */
async function tamper(baton: Baton, statement: string): Promise<void> {
  await sql(baton, "DROP TRIGGER IF EXISTS audit_is_append_only", statement);
}

async function lastSeq(baton: Baton): Promise<number> {
  return (await sql(baton, "SELECT max(seq) FROM audit"))[0]?.[0] as number;
}

/** So many rows: tokens are made, and revoked. */
async function fill(baton: Baton, tokens: number): Promise<void> {
  for (let count = 0; count < tokens; count++) {
    const { id } = await baton.api<{ id: string }>("POST", "/v1/auth/tokens", { name: `spare ${count}`, role: "viewer" });
    await baton.api("DELETE", `/v1/auth/tokens/${id}`);
  }
}

test("it tells who did what to which session, by action, actor and session", async ({ baton, page }) => {
  const session = await baton.shell("written of");
  await baton.shell("not asked for");
  await baton.type(session, "true\n");
  await baton.agent("helper");
  await open(page, baton, session);
  await openAudit(page);
  const rows = page.getByTestId("audit-row");
  const created = rows.filter({ hasText: "Create a session" }).filter({ hasText: "written of" });
  await expect(created).toContainText("(owner)");
  await expect(created).toContainText("Allowed");
  await created.getByRole("button").click();
  await expect(page.getByTestId("audit-details")).toContainText("session.create");
  await expect(page.getByTestId("audit-details")).toContainText(session);

  await page.getByTestId("audit-session").selectOption({ label: "written of" });
  await expect(rows.filter({ hasText: "Make a token" })).toHaveCount(0);
  await expect(rows.filter({ hasText: "not asked for" })).toHaveCount(0);
  const { items } = await baton.api<{ items: Row[] }>("GET", `/v1/audit?order=newest&session_id=${session}`);
  await expect.poll(() => shown(page)).toEqual(items.map(({ seq }) => seq));
  await page.getByTestId("audit-action").selectOption("lease.change");
  await expect.poll(() => shown(page)).toEqual(items.filter(({ action }) => action === "lease.change").map(({ seq }) => seq));
  await page.getByTestId("audit-everything").click();
  await expect(rows.filter({ hasText: "Make a token" })).toHaveCount(1);
  await page.getByTestId("audit-actor").selectOption({ label: "Baton" });
  await expect(rows.filter({ hasText: "Make a token" })).toHaveCount(0);
  await expect(rows.filter({ hasText: "A program starts" })).toHaveCount(2);
});

test("pages go to the beginning and back, each row once", async ({ baton, page }) => {
  await fill(baton, 70);
  await open(page, baton);
  await openAudit(page);
  const pages: number[][] = [await shown(page)];
  while (await page.getByTestId("audit-older").isEnabled()) {
    const last = pages.at(-1)?.at(-1) ?? 0;
    await page.getByTestId("audit-older").click();
    await expect.poll(async () => (await shown(page))[0]).toBe(last - 1);
    pages.push(await shown(page));
  }
  expect(pages.length).toBeGreaterThan(2);
  const newest = pages[0]?.[0] ?? 0;
  expect(pages.flat()).toEqual(Array.from({ length: newest }, (_, at) => newest - at));
  const newer = page.getByTestId("audit-newer");
  for (let first = (await shown(page))[0] ?? 0; await newer.isEnabled(); first = (await shown(page))[0] ?? 0) {
    await newer.click();
    // The next page, or in the end the newest one, which is a full one.
    await expect.poll(async () => (await shown(page)).at(-1) === first + 1 || (await newer.isDisabled())).toBe(true);
  }
  expect((await shown(page))[0]).toBe(await lastSeq(baton));
});

test("a whole chain is said to be whole, with its rows and its head", async ({ baton, page }) => {
  await baton.shell("one");
  await open(page, baton);
  await openAudit(page);
  await page.getByTestId("audit-verify").click();
  const verification = page.getByTestId("audit-verification");
  await expect(verification).toHaveAttribute("data-ok", "true");
  const head = (await page.getByTestId("audit-head").textContent()) ?? "";
  const [seq = "", hash = ""] = head.split(":");
  const [[kept] = []] = await sql(baton, `SELECT hex(hash) FROM audit WHERE seq = ${Number(seq)}`);
  expect(hash).toBe(String(kept).toLowerCase());
  await expect(verification).toContainText(`All ${seq} rows are as written`);
  // What this browser saw is compared with from then on.
  await page.getByTestId("audit-verify").click();
  await expect(verification).toContainText("The head that this browser knew is in it.");
  await page.evaluate((seen) => localStorage.setItem("baton.audit.head", seen), `${seq}:${"0a".repeat(32)}`);
  await page.getByTestId("audit-verify").click();
  await expect(verification).toContainText(`This browser saw row ${seq} in an earlier check, and it was another then.`);
  await page.getByTestId("audit-forget-head").click();
  await expect(verification).toHaveAttribute("data-ok", "true");
});

test("a row that was changed is named and shown, and so is one that is gone", async ({ baton, page }) => {
  await fill(baton, 60);
  await open(page, baton);
  await openAudit(page);
  const changed = 41;
  await tamper(baton, `UPDATE audit SET details = replace(details, 'viewer', 'owner'), actor_name = 'somebody else' WHERE seq = ${changed}`);
  await page.getByTestId("audit-verify").click();
  const verification = page.getByTestId("audit-verification");
  await expect(verification).toHaveAttribute("data-ok", "false");
  await expect(verification).toContainText(`The chain breaks at row ${changed}.`);
  await expect(verification).toContainText("hash_mismatch");
  const broken = page.locator('[data-testid="audit-row"][data-broken="true"]');
  await expect(broken).toHaveAttribute("data-seq", String(changed));
  await expect(broken).toBeInViewport();
  await expect(broken).toContainText("The chain breaks at this row");
  await expect(broken).toContainText("somebody else");

  await tamper(baton, `DELETE FROM audit WHERE seq = ${changed - 5}`);
  await page.getByTestId("audit-newest").click();
  await page.getByTestId("audit-verify").click();
  await expect(verification).toContainText(`The chain breaks at row ${changed - 5}.`);
  await expect(verification).toContainText("missing_seq");
  await expect(broken).toContainText(`Row ${changed - 5} is missing here`);
  await expect(broken).toBeInViewport();
});

test("who may not read it is told why", async ({ baton, page }) => {
  const { token } = await baton.api<{ token: string }>("POST", "/v1/auth/tokens", { name: "onlooker", role: "viewer" });
  await page.goto(baton.url);
  await page.getByLabel(/token/i).fill(token);
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("session-list")).toBeAttached();
  await page.getByTestId("panel-audit").click();
  await expect(page.getByTestId("audit-refused")).toContainText("You may not read the audit log.");
  await expect(page.getByTestId("audit-refused")).toContainText(/admin/i);
  await expect(page.getByTestId("audit-verify")).toHaveCount(0);
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`nothing of the view breaks WCAG AA, ${colorScheme}`, async ({ baton, page }) => {
    await page.emulateMedia({ colorScheme });
    await fill(baton, 5);
    await open(page, baton);
    await openAudit(page);
    const check = async (): Promise<void> => {
      await noViolations(page, '[data-testid="side-panel"]');
    };
    await page.getByTestId("audit-verify").click();
    await expect(page.getByTestId("audit-verification")).toHaveAttribute("data-ok", "true");
    await page.getByTestId("audit-row").first().getByRole("button").click();
    await check();
    await tamper(baton, "UPDATE audit SET outcome = 'allowed', actor_name = 'x' WHERE seq = 3");
    await page.getByTestId("audit-verify").click();
    await expect(page.getByTestId("audit-verification")).toHaveAttribute("data-ok", "false");
    await expect(page.locator('[data-testid="audit-row"][data-broken="true"]')).toBeVisible();
    await check();
    await page.setViewportSize({ width: 375, height: 812 });
    await check();
  });
}
