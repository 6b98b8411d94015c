/** A way to the bridge over a wire that delays and loses packets; what makes it is in `lossy_link.py`. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Baton } from "./baton";
import { NAME } from "./slow_link";

export interface Wire {
  delayMs: number;
  /** The share of packets that is lost, each way. */
  loss: number;
}

export class LossyLink {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #process: ChildProcess;
  readonly #lines: Interface;
  #port = 0;

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.#lines = createInterface({ input: process.stdout ?? globalThis.process.stdin });
  }

  /** Null where it cannot be made: it needs root, `unshare`, `python3` and a TUN device. */
  static async open(baton: Baton, { delayMs, loss }: Wire): Promise<LossyLink | null> {
    const [inside, outside] = [join(baton.home, "wire-in"), join(baton.home, "wire-out")];
    const args = ["-n", "python3", join(import.meta.dirname, "lossy_link.py"), inside, outside, String(delayMs), String(loss)];
    const link = new LossyLink(spawn("unshare", args, { stdio: ["ignore", "pipe", "inherit"] }));
    const target = new URL(baton.url);
    await link.#serve(outside, () => connect(Number(target.port), target.hostname));
    const said = await Promise.race([once(link.#lines, "line").then(([line]) => String(line)), once(link.#process, "exit").then(() => null), once(link.#process, "error").then(() => null)]);
    if (said !== "ready") {
      await link.end();
      return null;
    }
    const door = await link.#serve({ port: 0, host: "127.0.0.1" }, () => connect(inside));
    link.#port = (door.address() as AddressInfo).port;
    return link;
  }

  by(url: string): string {
    const through = new URL(url);
    through.hostname = NAME;
    through.port = String(this.#port);
    return through.href;
  }

  /** Ends it, and answers how many packets were lost. */
  async end(): Promise<number> {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#servers.forEach((server) => server.close());
    if (this.#process.exitCode !== null || this.#process.pid === undefined) return 0;
    const last = once(this.#lines, "line");
    this.#process.kill("SIGTERM");
    const [line] = await last;
    return Number(/^dropped (\d+)/.exec(String(line))?.[1] ?? 0);
  }

  async #serve(at: string | { port: number; host: string }, far: () => Socket): Promise<Server> {
    const server = createServer((near) => {
      const ends = [near, far()] as const;
      for (const [at, socket] of ends.entries()) {
        this.#sockets.add(socket);
        socket.setNoDelay(true);
        socket.on("error", () => undefined);
        socket.on("close", () => ends[at === 0 ? 1 : 0].destroy());
      }
      ends[0].pipe(ends[1]).pipe(ends[0]);
    });
    this.#servers.push(server);
    server.listen(at);
    await once(server, "listening");
    return server;
  }
}
