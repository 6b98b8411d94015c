/** Rows of the list, as tests look at them. */

import type { Locator, Page } from "@playwright/test";
import type { Baton } from "./baton";

export function row(page: Page, session: string): Locator {
  return page.locator(`li[data-row="${session}"]`);
}

/** What a program does in a session, without typing: the shell reads it from its terminal. */
export function says(baton: Baton, session: string, ...sequences: string[]): Promise<void> {
  return baton.type(session, `printf '${sequences.join("")}'\n`);
}

/** The picture of a row as it is painted now. */
export function picture(page: Page, session: string): Promise<string> {
  return row(page, session).getByTestId("thumbnail").evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
}
