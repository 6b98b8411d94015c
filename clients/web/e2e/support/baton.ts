/**
 * One Baton of a test's own: its home, its processes, and the same public API that everybody has.
 *
 * The binaries are those of `target/debug`, or of the folder that `BATON_BIN_DIR` names.
 */

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const BINARIES = resolve(process.env["BATON_BIN_DIR"] ?? join(import.meta.dirname, "../../../../target/debug"));
const COMMAND_LIMIT_MS = 30_000;
const LOOK_EVERY_MS = 10;

export interface Status {
  url: string;
  socket: string;
  token_file: string;
  home: string;
  bridge: { pid: number } | null;
  sessiond: { pid: number } | null;
  launcher: { pid: number } | null;
}

export interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

export class Baton {
  readonly home: string;
  /** A folder for what the test's programs write. */
  readonly scratch: string;
  readonly env: NodeJS.ProcessEnv;
  url = "";
  #token = "";

  private constructor(more: Record<string, string>) {
    // A short path: socket names are bounded.
    this.home = mkdtempSync(join(tmpdir(), "bt-e2e-"));
    this.scratch = join(this.home, "scratch");
    mkdirSync(this.scratch);
    const { PATH, LANG, HOME, USER, SHELL } = process.env;
    this.env = { PATH: `${BINARIES}:${PATH ?? ""}`, LANG: LANG ?? "C.UTF-8", HOME, USER, SHELL, TERM: "xterm-256color", BATON_HOME: this.home, BATON_LISTEN: "127.0.0.1:0", ...more };
  }

  /** Starts Baton with these configuration keys (`BATON_SECTION__KEY`) and waits until it serves. */
  static async start(more: Record<string, string> = {}): Promise<Baton> {
    if (!existsSync(join(BINARIES, "baton"))) throw new Error(`no \`baton\` in ${BINARIES}: run \`cargo build --workspace --bins\``);
    const baton = new Baton(more);
    await baton.ok("up");
    const { url, token_file } = await baton.status();
    baton.url = url.replace(/\/$/, "");
    baton.#token = readFileSync(token_file, "utf8").trim();
    return baton;
  }

  /** Ends it with everything that it started, and removes its home. */
  async end(): Promise<void> {
    await this.cli("down", "--sessions");
    rmSync(this.home, { recursive: true, force: true });
  }

  get token(): string {
    return this.#token;
  }

  get program(): string {
    return join(BINARIES, "baton");
  }

  async cli(...args: string[]): Promise<Said> {
    try {
      const { stdout, stderr } = await run(this.program, args, { env: this.env, timeout: COMMAND_LIMIT_MS, maxBuffer: 64 * 1024 * 1024 });
      return { code: 0, stdout, stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
      return { code: typeof code === "number" ? code : -1, stdout: stdout ?? "", stderr: stderr ?? String(error) };
    }
  }

  /** The output of a command that must succeed. */
  async ok(...args: string[]): Promise<string> {
    const said = await this.cli(...args);
    if (said.code !== 0) throw new Error(`\`baton ${args.join(" ")}\` ended with ${said.code}: ${said.stderr}${said.stdout}`);
    return said.stdout;
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.ok("status", "--json")) as Status;
  }

  /** One request as this token's holder (the owner unless another is named). Throws unless it is answered with 2xx. */
  async api<T = unknown>(method: string, path: string, body?: object, token = this.#token): Promise<T> {
    const { status, json } = await this.ask<T>(method, path, body, token);
    if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    return json;
  }

  /** The same, with whatever it is answered. */
  async ask<T = unknown>(method: string, path: string, body?: object, token = this.#token): Promise<{ status: number; json: T }> {
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    if (body) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method, headers };
    if (body) init.body = JSON.stringify(body);
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    return { status: response.status, json: (text === "" ? null : JSON.parse(text)) as T };
  }

  /** A bash that asks for nothing and prompts with `$ `; answers its id. */
  async shell(title: string, more: object = {}): Promise<string> {
    const created = await this.api<{ session_id: string }>("POST", "/v1/terminal/sessions", {
      title,
      command: ["bash", "--norc", "--noprofile"],
      cwd: this.scratch,
      env: { PS1: "$ ", HISTFILE: "/dev/null" },
      cols: 100,
      rows: 30,
      ...more,
    });
    return created.session_id;
  }

  /** Types into a session as a client of the test's own, and gives control back. */
  async type(session: string, text: string): Promise<void> {
    const client_id = crypto.randomUUID();
    await this.api("POST", `/v1/terminal/sessions/${session}/claim`, { client_id, force: true });
    await this.api("POST", `/v1/terminal/sessions/${session}/input`, { client_id, text });
    await this.api("POST", `/v1/terminal/sessions/${session}/detach`, { client_id });
  }

  /** The session's screen as the worker has it, as text. */
  async screen(session: string): Promise<string> {
    const response = await fetch(`${this.url}/v1/terminal/sessions/${session}/snapshot?format=text`, { headers: { Authorization: `Bearer ${this.#token}` } });
    if (!response.ok) throw new Error(`snapshot: ${response.status} ${await response.text()}`);
    return response.text();
  }

  /** A token for an agent, which may see and drive only what it made or was given. */
  async agent(name: string): Promise<string> {
    const { token } = await this.api<{ token: string }>("POST", "/v1/auth/tokens", { name, role: "agent", agent_id: name });
    return token;
  }

  /** A token for another person, who may watch, drive and decide. */
  async person(name: string): Promise<string> {
    const { token } = await this.api<{ token: string }>("POST", "/v1/auth/tokens", { name, role: "collaborator" });
    return token;
  }

  /** What signs a page in, as `baton open` makes it; it works once. */
  async link(session?: string): Promise<string> {
    const { url } = await this.api<{ url: string }>("POST", "/v1/auth/links", { kind: "login", ...(session ? { session_id: session } : {}) });
    return url;
  }

  /** `kill -9` one of Baton's own processes, and waits until it is dead. */
  async kill(who: "bridge" | "sessiond" | "launcher"): Promise<void> {
    const pid = (await this.status())[who]?.pid;
    if (!pid) throw new Error(`${who} does not run`);
    process.kill(pid, "SIGKILL");
    while (isAlive(pid)) await pause();
  }

  /** Waits until the bridge answers, after it was killed. */
  async serving(): Promise<void> {
    for (;;) {
      const answered = await fetch(`${this.url}/v1/health`).then((response) => response.ok, () => false);
      if (answered) return;
      await pause();
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

function pause(): Promise<void> {
  return new Promise((resume) => setTimeout(resume, LOOK_EVERY_MS));
}
