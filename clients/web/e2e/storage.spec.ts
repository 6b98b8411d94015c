/** A browser that stores nothing for this page: it works all the same, and forgets with a reload. */

import { claim, expect, open, shows, test } from "./support/test";

const REFUSALS = {
  "forbids storage": () => {
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, { get: () => { throw new DOMException("forbidden", "SecurityError"); } });
    }
  },
  "has no room to store": () => {
    Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
  },
};

for (const [does, refuse] of Object.entries(REFUSALS)) {
  test(`a browser that ${does} still signs in, watches, types and changes session`, async ({ baton, page }) => {
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.addInitScript(refuse);
    const [first, second] = [await baton.shell("first"), await baton.shell("second")];
    await open(page, baton, first);
    await page.locator(`[data-session-id="${second}"]`).click();
    await claim(page);
    await page.keyboard.type("echo $((40 + 2)) here\n");
    await shows(page, "42 here");
    expect(errors).toEqual([]);
  });
}
