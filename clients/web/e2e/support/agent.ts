/** An agent with a confined session of its own, which asks for what it may not do by itself. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Approval } from "../../src/api/approvals";
import type { Baton } from "./baton";

const CLIENT = "agent:fixer";

/** Lines with `tee` are asked about, those with `shred` forbidden; the agent works in a folder of its own. */
function policy(folders: string): string {
  const shared = readFileSync(new URL("../../../../tests/policies/agent.toml", import.meta.url), "utf8");
  return `${shared}
[[rule]]
id = "folders-of-this-test"
action = "agent.permission"
match = { name = ["folder.read", "folder.change"], path = ["${folders}/**"] }
decision = "allow"
risk = "low"
reason = "it works there"
examples = { match = ["folder.change ${folders}/project"], not_match = ["folder.change /other"] }
`;
}

export class Agent {
  private constructor(
    readonly baton: Baton,
    readonly token: string,
    readonly session: string,
    readonly folder: string,
  ) {}

  static async start(baton: Baton): Promise<Agent> {
    writeFileSync(join(baton.home, "config", "policy.toml"), policy(baton.scratch));
    // Read at the start.
    await baton.kill("bridge");
    await baton.serving();
    const token = await baton.agent("fixer");
    const folder = join(baton.scratch, "project");
    mkdirSync(folder, { recursive: true });
    const request = { title: "repairs", command: ["/bin/bash", "--norc", "--noprofile", "-i"], cwd: folder, env: { PS1: "$ ", HISTFILE: "/dev/null" }, cols: 100, rows: 30 };
    const made = await baton.api<{ session_id: string }>("POST", "/v1/terminal/sessions", request, token);
    const agent = new Agent(baton, token, made.session_id, folder);
    await baton.api("POST", agent.at("claim"), { client_id: CLIENT }, token);
    return agent;
  }

  at(verb: string): string {
    return `/v1/terminal/sessions/${this.session}/${verb}`;
  }

  /** Asks for a line; the approval that waits for it. */
  async asks(command: string): Promise<Approval> {
    const { status, json } = await this.baton.ask<{ approval_id: string }>("POST", this.at("exec"), { client_id: CLIENT, command, timeout_s: 20 }, this.token);
    if (status !== 202) throw new Error(`\`${command}\` was answered ${status}: ${JSON.stringify(json)}`);
    return this.seen(json.approval_id);
  }

  /** Asks for a line and waits for the answer, as a program that needs it does. */
  waits(command: string): Promise<{ status: number; json: { code?: string; detail?: string } }> {
    return this.baton.ask("POST", `${this.at("exec")}?wait_s=60`, { client_id: CLIENT, command, timeout_s: 20 }, this.token);
  }

  seen(id: string): Promise<Approval> {
    return this.baton.api("GET", `/v1/approvals/${id}`, undefined, this.token);
  }

  /** Once nothing more becomes of it. */
  end(id: string): Promise<Approval> {
    return this.baton.api("GET", `/v1/approvals/${id}?wait_s=30`, undefined, this.token);
  }

  /** A line that leaves a witness in the agent's folder. */
  counts(word: string): string {
    return `echo ${word} | tee -a count`;
  }

  /** How often it did. */
  counted(word: string): number {
    const file = join(this.folder, "count");
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    return text.split("\n").filter((line) => line === word).length;
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }
}
