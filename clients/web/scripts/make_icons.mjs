/**
 * Draws the installed page's icons from `public/favicon.svg`, with the Chromium
 * that the tests use. Run it by hand after the mark has changed:
 *
 *     node scripts/make_icons.mjs
 */

import { readFileSync, writeFileSync } from "node:fs";
import { chromium } from "@playwright/test";

const mark = readFileSync(new URL("../public/favicon.svg", import.meta.url), "utf8");
// Systems cut these into their own shapes: the ground goes to the edge.
const fullBleed = mark.replace('rx="7"', 'rx="0"');

const ICONS = [
  ["icon-192.png", mark, 192],
  ["icon-512.png", mark, 512],
  ["icon-maskable-512.png", fullBleed, 512],
  ["apple-touch-icon.png", fullBleed, 180],
];

const browser = await chromium.launch({ executablePath: process.env.BATON_CHROMIUM ?? "/usr/bin/chromium", chromiumSandbox: process.getuid?.() !== 0 });
for (const [name, svg, size] of ICONS) {
  const page = await browser.newPage({ viewport: { width: size, height: size } });
  await page.setContent(`<style>body { margin: 0 } svg { display: block; width: ${size}px; height: ${size}px }</style>${svg}`);
  writeFileSync(new URL(`../public/${name}`, import.meta.url), await page.screenshot({ omitBackground: true }));
  await page.close();
}
await browser.close();
