/** The web terminals that are measured: Baton, and whichever of the others is installed. Each runs one bash a page. */

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";

const LISTEN_LIMIT_MS = 10_000;

/**
 * @typedef {object} Peer
 * @property {string} name
 * @property {() => string | Promise<string>} address the address of a page with a shell of its own
 * @property {string} prompt what stands on its screen as soon as the shell prompts
 * @property {string} text an expression for the visible rows, in the page
 * @property {(page: import("@playwright/test").Page) => Promise<void>} ready lets the page type
 * @property {() => void} end
 */

/** An expression for the visible rows of an xterm that the page calls so. */
const rowsOf = (term) => `(() => {
  const term = ${term}, buffer = term?.buffer.active;
  return buffer ? Array.from({ length: term.rows }, (_, row) => buffer.getLine(buffer.viewportY + row)?.translateToString(true) ?? "").join("\\n") : "";
})()`;

/** @returns {Promise<Peer[]>} */
export async function peers() {
  const found = [await baton()];
  if (onPath("ttyd")) found.push(await served("ttyd", "window.term", (port) => ["-p", port, "-i", "127.0.0.1", "-W", "bash"]));
  // It takes one word as its command.
  if (onPath("wetty")) found.push(await served("wetty", "window.wetty_term", (port) => ["--host", "127.0.0.1", "-p", port, "-b", "/", "-c", "/bin/bash"]));
  return found;
}

async function baton() {
  const binaries = resolve(import.meta.dirname, "../../target/release");
  const program = join(binaries, "baton");
  const home = mkdtempSync(join(tmpdir(), "bt-page-"));
  const env = { ...process.env, BATON_HOME: home, BATON_LISTEN: "127.0.0.1:0" };
  const run = (...words) => execFileSync(program, words, { env, encoding: "utf8" });
  run("up");
  const { url, token_file } = JSON.parse(run("status", "--json"));
  const token = readFileSync(token_file, "utf8").trim();
  const post = async (path, body) => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const answer = await fetch(new URL(path, url), { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const version = run("--version").trim().split(" ").at(-1);
  return {
    name: `Baton ${version}`,
    prompt: "$",
    text: "window.batonTest?.text() ?? ''",
    async address() {
      const { session_id } = await post("/v1/terminal/sessions", { command: ["bash", "--norc", "--noprofile"], env: { PS1: "$ " } });
      return (await post("/v1/auth/links", { kind: "login", session_id })).url;
    },
    async ready(page) {
      await page.getByTestId("claim").click();
      await page.locator("[data-testid=lease-state][data-state=mine]").waitFor();
      await page.getByTestId("terminal").click();
    },
    end() {
      run("down", "--sessions");
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function served(program, term, args) {
  const port = await freePort();
  const child = spawn(program, args(String(port)), { stdio: "ignore", env: { ...process.env, HOME: "/" } });
  const limit = performance.now() + LISTEN_LIMIT_MS;
  const url = `http://127.0.0.1:${port}/`;
  while (!(await fetch(url).then((answer) => answer.ok, () => false))) {
    if (performance.now() > limit) throw new Error(`${program} does not listen`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
  const said = execFileSync(program, ["--version"], { encoding: "utf8" }).trim();
  return {
    name: `${program} ${said.match(/\d[\w.]*/)?.[0] ?? ""}`.trim(),
    // Debian's own prompt, where no other is set.
    prompt: process.getuid() === 0 ? "#" : "$",
    text: rowsOf(term),
    address: () => url,
    ready: (page) => page.locator(".xterm-screen").first().click(),
    end: () => child.kill(),
  };
}

function onPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((directory) => existsSync(join(directory, program)));
}

function freePort() {
  return new Promise((done, failed) => {
    const server = createServer().once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => done(port));
    });
  });
}
