/** A person at a real terminal: a tmux of the test's own, whose pane is the PTY that `baton attach` draws on. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "@playwright/test";
import type { Baton } from "./baton";

const run = promisify(execFile);

export class Shell {
  readonly #socket: string;
  readonly #baton: Baton;

  private constructor(baton: Baton) {
    this.#baton = baton;
    this.#socket = `${baton.home}/tmux-${crypto.randomUUID().slice(0, 8)}`;
  }

  /** Runs `baton` with these arguments in a terminal of 100 columns and 30 rows. */
  static async run(baton: Baton, ...args: string[]): Promise<Shell> {
    const shell = new Shell(baton);
    const line = [baton.program, ...args].map((part) => `'${part}'`).join(" ");
    await shell.#tmux("new-session", "-d", "-x", "100", "-y", "30", line);
    return shell;
  }

  /** Types this text, key for key. */
  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", "--", text);
  }

  /** Presses keys by tmux's names: `Enter`, `Escape`, `C-c`. */
  async press(...keys: string[]): Promise<void> {
    await this.#tmux("send-keys", ...keys);
  }

  async text(): Promise<string> {
    return this.#tmux("capture-pane", "-p");
  }

  /** Waits until the screen holds this. */
  async shows(text: string | RegExp): Promise<void> {
    await expect.poll(() => this.text()).toMatch(typeof text === "string" ? new RegExp(escaped(text)) : text);
  }

  /** `kill -9` of what runs in it: it says goodbye to nobody. */
  async crash(): Promise<void> {
    const pid = Number(await this.#tmux("display-message", "-p", "#{pane_pid}"));
    process.kill(pid, "SIGKILL");
  }

  async end(): Promise<void> {
    await this.#tmux("kill-server").catch(() => undefined);
  }

  async #tmux(...args: string[]): Promise<string> {
    const { stdout } = await run("tmux", ["-f", "/dev/null", "-S", this.#socket, ...args], { env: { ...this.#baton.env, TMUX: "" } });
    return stdout;
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
