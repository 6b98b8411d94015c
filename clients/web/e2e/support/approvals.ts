/** What every test of approvals does in the page. */

import type { Page } from "@playwright/test";
import { expect } from "./test";

/** Opens this request in the page's panel. */
export async function review(page: Page, id: string): Promise<void> {
  const button = page.getByTestId("panel-approvals");
  if ((await button.getAttribute("aria-expanded")) !== "true") await button.click();
  if (await page.getByTestId("approval-detail").isVisible()) await page.getByTestId("approval-back").click();
  await page.locator(`[data-approval-id="${id}"]`).click();
  await expect(page.getByTestId("approval-detail")).toHaveAttribute("data-approval-detail", id);
}

/** Waits until this became of the request on the screen. */
export async function became(page: Page, status: string): Promise<void> {
  await expect(page.getByTestId("outcome")).toHaveAttribute("data-status", status);
}

/** Counts the decisions that a page sends. */
export function decisionsOf(page: Page): () => number {
  let count = 0;
  page.on("request", (request) => (count += Number(request.url().endsWith("/decision"))));
  return () => count;
}
