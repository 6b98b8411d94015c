/**
 * Drives each peer's page in Chromium and prints one table: `cargo xtask bench page`.
 *
 * Peers take turns within a round, so that what else the machine does meets all of them.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keystrokes, memoryOf, opened, shown } from "./measure.mjs";
import { peers } from "./peers.mjs";

const { chromium } = createRequire(new URL("../../clients/web/package.json", import.meta.url))("@playwright/test");

const ROUNDS = Number(process.env.BATON_BENCH_ROUNDS ?? 5);
const OUTPUT_MIB = 100;
const KEYS = 100;
const TABS = 10;
const MIB = 1024 * 1024;
const OUTPUT = `${OUTPUT_MIB} MiB of log text to the last line drawn, MiB/s`;

const scratch = mkdtempSync(join(tmpdir(), "bt-bench-"));
const log = join(scratch, "log");
writeFileSync(log, logText(OUTPUT_MIB * MIB));

const server = await chromium.launchServer({
  executablePath: process.env.BATON_CHROMIUM ?? "/usr/bin/chromium",
  chromiumSandbox: process.getuid() !== 0,
  args: ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const browser = await chromium.connect(server.wsEndpoint());
const all = await peers();
/** @type {Map<string, Map<string, number[]>>} */
const figures = new Map();
/** Peers that did not show their output's end. */
const drowned = new Set();
const note = (row, peer, value) => {
  const cells = figures.get(row) ?? figures.set(row, new Map()).get(row);
  cells.set(peer.name, [...(cells.get(peer.name) ?? []), value]);
};

try {
  for (let round = 0; round < ROUNDS; round++) {
    for (const peer of all) await roundOf(peer);
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  for (const peer of all) await tabsOf(peer);
  print();
} finally {
  await browser.close();
  await server.close();
  for (const peer of all) peer.end();
  rmSync(scratch, { recursive: true, force: true });
}

async function roundOf(peer) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  let bytes = 0;
  const { page, first } = await opened(context, peer, (length) => (bytes += length));
  note("first screen, nothing cached, ms", peer, first);
  note("bytes over the network until then, KiB", peer, bytes / 1024);
  await page.reload();
  note("first screen after a reload, ms", peer, await shown(page, peer, peer.prompt, 0));
  await peer.ready(page);
  const presses = await keystrokes(page, peer, KEYS);
  presses.sort((a, b) => a - b);
  note("key to frame, p50 ms", peer, presses[Math.floor(presses.length / 2)]);
  note("key to frame, p99 ms", peer, presses[Math.floor(presses.length * 0.99)]);
  await page.keyboard.press("Control+u");
  if (!drowned.has(peer)) {
    await page.keyboard.type(`cat ${log}; echo end-$((6*7))`);
    await page.evaluate("addEventListener('keydown', (event) => { window.enteredAt = event.timeStamp; }, { once: true, capture: true })");
    await page.keyboard.press("Enter");
    // A page that drowns is measured once: as not having come to the end.
    const ms = await shown(page, peer, "end-42", "window.enteredAt").catch(() => Infinity);
    note(OUTPUT, peer, OUTPUT_MIB / (ms / 1000));
    if (ms === Infinity) drowned.add(peer);
    process.stderr.write(`${peer.name}: ${OUTPUT_MIB} MiB in ${short(ms / 1000)} s\n`);
  }
  await context.close();
}

async function tabsOf(peer) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const blank = [];
  for (let tab = 0; tab < TABS; tab++) blank.push(await context.newPage());
  const before = memoryOf(server.process().pid);
  for (const page of blank) await page.close();
  let heap = 0;
  for (let tab = 0; tab < TABS; tab++) {
    const { session } = await opened(context, peer);
    await session.send("HeapProfiler.collectGarbage");
    heap += (await session.send("Runtime.getHeapUsage")).usedSize;
  }
  note(`memory of a tab, ${TABS} open, each on a session, MiB`, peer, (memoryOf(server.process().pid) - before) / TABS / MIB);
  note("of it JavaScript's, MiB", peer, heap / TABS / MIB);
  await context.close();
}

function print() {
  const names = all.map(({ name }) => name);
  console.log(`| | ${names.join(" | ")} |${names.length > 1 ? " ratio to the best other |" : ""}`);
  console.log(`| --- |${" --- |".repeat(names.length + (names.length > 1 ? 1 : 0))}`);
  for (const [row, cells] of figures) {
    const texts = names.map((name) => range(cells.get(name) ?? []));
    const [own, ...others] = names.map((name) => median(cells.get(name) ?? []));
    const best = row === OUTPUT ? Math.max(...others) : Math.min(...others);
    console.log(`| ${row} | ${texts.join(" | ")} |${others.length > 0 ? ` ${(own / best).toFixed(2)} |` : ""}`);
  }
}

function range(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return values.length > 1 ? `${short(median(values))} (${short(least)} – ${short(most)})` : short(median(values));
}

function short(value) {
  if (value === 0) return "never";
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** Lines as a build or a server writes them. */
function logText(bytes) {
  const line = (at) => `2026-01-01T00:00:${String(at % 60).padStart(2, "0")}.${String(at % 1000).padStart(3, "0")}Z INFO worker{id=${at % 97}} request ${at} took ${at % 311} ms, ${at % 4096} bytes\n`;
  const block = Array.from({ length: 4096 }, (_, at) => line(at)).join("");
  return block.repeat(Math.ceil(bytes / block.length)).slice(0, bytes - 1) + "\n";
}
