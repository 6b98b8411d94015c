/** What is measured on a page, the same way on each peer's. */

import { readdirSync, readFileSync } from "node:fs";

/** 100 MiB at less than 1 MiB/s is not shown. */
const SHOWN_LIMIT_MS = 100_000;

/** Milliseconds until `wanted` stands in the rows and the frame after that began; counted from `from`, an expression. */
export function shown(page, peer, wanted, from) {
  return page.evaluate(
    `new Promise((done, failed) => {
      const limit = performance.now() + ${SHOWN_LIMIT_MS};
      const look = () => {
        if ((${peer.text}).includes(${JSON.stringify(wanted)})) return requestAnimationFrame(() => done(performance.now() - (${from})));
        if (performance.now() > limit) return failed(new Error("not shown: " + ${JSON.stringify(wanted)}));
        requestAnimationFrame(look);
      };
      look();
    })`,
  );
}

/** A page whose shell prompts. `counted` hears of each byte that crossed the network on its way there. */
export async function opened(context, peer, counted = () => undefined) {
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.loadingFinished", ({ encodedDataLength }) => counted(encodedDataLength));
  await page.goto(await peer.address());
  const first = await shown(page, peer, peer.prompt, 0);
  return { page, session, first };
}

/** Milliseconds from a key's event to the frame that shows what it typed. */
export async function keystrokes(page, peer, count) {
  await page.evaluate(`(() => {
    window.pressedAt = 0;
    addEventListener("keydown", (event) => { window.pressedAt = event.timeStamp; }, true);
  })()`);
  const times = [];
  // A comment to the shell, and no text that its prompt could hold.
  const begin = "#%";
  let typed = begin;
  await page.keyboard.type(begin);
  await shown(page, peer, begin, 0);
  for (let at = 0; at < count; at++) {
    const key = String.fromCharCode(97 + (at % 26));
    typed += key;
    const [time] = await Promise.all([shown(page, peer, typed, "window.pressedAt"), page.keyboard.press(key)]);
    times.push(time);
    if (typed.length === 26 + begin.length) {
      typed = begin;
      for (let letter = 0; letter < 26; letter++) await page.keyboard.press("Backspace");
      // Not `waitForFunction`, which a page without `eval` refuses.
      await page.evaluate(`new Promise((done) => {
        const look = () => ((${peer.text}).includes("#%a") ? requestAnimationFrame(look) : done());
        look();
      })`);
    }
  }
  return times;
}

/** Proportional set size of a process and all below it, in bytes. */
export function memoryOf(root) {
  const parents = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended meanwhile.
    }
  }
  const below = (pid) => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (at === root) return true;
    return false;
  };
  let bytes = 0;
  for (const pid of parents.keys()) {
    if (!below(pid)) continue;
    try {
      bytes += 1024 * Number(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+)/m)?.[1] ?? 0);
    } catch {
      // It ended meanwhile.
    }
  }
  return bytes;
}
