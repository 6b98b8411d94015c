/** Accessibility as far as a program can tell: WCAG 2 A and AA. */

import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** Fails with what is wrong and where, in this part or the whole page. A terminal's own cells are a program's, in its colours. */
export async function noViolations(page: Page, part = "html"): Promise<void> {
  await settled(page, part);
  const { violations } = await new AxeBuilder({ page }).include(part).exclude(".xterm").withTags(WCAG).analyze();
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ target, failureSummary }) => `  ${target.join(" ")} ${failureSummary ?? ""}`).join("\n")}`);
  expect(found.join("\n")).toBe("");
}

/** Colours that are on their way to others are neither. What is not drawn, as in a closed menu, stays on its way. */
async function settled(page: Page, part: string): Promise<void> {
  await expect.poll(() => page.locator(part).first().evaluate((element) =>
    element.getAnimations({ subtree: true }).filter(({ effect, playState }) =>
      playState === "running" && effect instanceof KeyframeEffect && effect.target?.checkVisibility({ contentVisibilityAuto: true })).length)).toBe(0);
}
