/** The way between a page and the bridge, to be slowed, held up or cut: a TCP proxy of the test's own. */

import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

interface Pair {
  page: Socket;
  bridge: Socket;
}

export class Way {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #target: { host: string; port: number } | null = null;
  #cut = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(): Promise<Way> {
    const server = createServer();
    const way = new Way(server);
    server.on("connection", (page) => way.#joined(page));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return way;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Leads to this bridge from now on. */
  to(url: string): void {
    const { hostname, port } = new URL(url);
    this.#target = { host: hostname, port: Number(port) };
  }

  /** An address of the bridge as it is by way of this proxy. */
  by(url: string): string {
    return url.replace(/^https?:\/\/[^/#]+/, this.url);
  }

  /** Nothing comes from the bridge any more, nor (unless only answers are held) goes to it; the connections stay. */
  hold(what: "everything" | "answers" = "everything"): void {
    for (const { page, bridge } of this.#pairs) {
      if (what === "everything") page.pause();
      bridge.pause();
    }
  }

  /** What was held up arrives. */
  flow(): void {
    for (const { page, bridge } of this.#pairs) {
      page.resume();
      bridge.resume();
    }
  }

  /** Every connection breaks, and none is made. */
  cut(): void {
    this.#cut = true;
    for (const { page, bridge } of this.#pairs) {
      page.destroy();
      bridge.destroy();
    }
  }

  mend(): void {
    this.#cut = false;
  }

  async end(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #joined(page: Socket): void {
    if (this.#cut || !this.#target) return void page.destroy();
    const bridge = connect(this.#target);
    const pair = { page, bridge };
    this.#pairs.add(pair);
    page.on("data", (bytes) => bridge.write(bytes));
    bridge.on("data", (bytes) => page.write(bytes));
    const over = (): void => {
      this.#pairs.delete(pair);
      page.destroy();
      bridge.destroy();
    };
    for (const socket of [page, bridge]) socket.on("close", over).on("error", over).setNoDelay(true);
  }
}
