/** A way to the bridge that takes its time: what goes in comes out later, in order, and not at all while it is held. */

import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

/** What the bridge is called by way of a link: it answers to no port but its own otherwise. */
export const NAME = "slow.localhost";
export const BEHIND_A_LINK = { BATON_SERVER__ALLOWED_HOSTS: `["${NAME}"]` };

/** One direction of one connection. */
class Direction {
  #queue: { at: number; bytes: Buffer }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(readonly link: SlowLink, readonly from: Socket, readonly to: Socket, readonly back: boolean) {
    from.on("data", (bytes) => {
      this.#queue.push({ at: performance.now() + link.delayMs, bytes });
      this.pump();
    });
    from.on("close", () => to.destroy());
    from.on("error", () => to.destroy());
  }

  pump(): void {
    clearTimeout(this.#timer);
    for (let first = this.#queue[0]; first; first = this.#queue[0]) {
      if (this.back && this.link.held) return;
      const wait = first.at - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait);
        return;
      }
      this.#queue.shift();
      if (!this.to.destroyed) this.to.write(first.bytes);
    }
  }
}

export class SlowLink {
  readonly #server: Server;
  readonly #directions = new Set<Direction>();
  readonly #sockets = new Set<Socket>();
  /** Nothing of what the bridge says arrives. */
  held = false;

  private constructor(target: URL, public delayMs: number) {
    this.#server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const socket of [near, far]) {
        socket.setNoDelay(true);
        this.#sockets.add(socket);
      }
      const both = [new Direction(this, near, far, false), new Direction(this, far, near, true)];
      both.forEach((direction) => this.#directions.add(direction));
      far.on("close", () => both.forEach((direction) => this.#directions.delete(direction)));
    });
  }

  /** A port of its own in front of `url`, this long each way. */
  static async open(url: string, delayMs: number): Promise<SlowLink> {
    const link = new SlowLink(new URL(url), delayMs);
    await new Promise<void>((listening) => link.#server.listen(0, "127.0.0.1", listening));
    return link;
  }

  /** The same address of the bridge, by way of this link. */
  by(url: string): string {
    const through = new URL(url);
    through.hostname = NAME;
    through.port = String((this.#server.address() as AddressInfo).port);
    return through.href;
  }

  hold(): void {
    this.held = true;
  }

  letGo(): void {
    this.held = false;
    this.#directions.forEach((direction) => direction.pump());
  }

  /** Ends every connection that is there; new ones are taken. */
  cut(): void {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#sockets.clear();
  }

  async end(): Promise<void> {
    this.cut();
    await new Promise((closed) => this.#server.close(closed));
  }
}
