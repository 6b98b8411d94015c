/** Fingers on a page, as the browser itself would hear of them. */

import type { CDPSession, Page } from "@playwright/test";

export interface Point {
  x: number;
  y: number;
}

export class Fingers {
  private constructor(readonly cdp: CDPSession) {}

  static async on(page: Page): Promise<Fingers> {
    return new Fingers(await page.context().newCDPSession(page));
  }

  async down(...points: Point[]): Promise<void> {
    await this.#touch("touchStart", points);
  }

  async move(...points: Point[]): Promise<void> {
    await this.#touch("touchMove", points);
  }

  async up(): Promise<void> {
    await this.#touch("touchEnd", []);
  }

  /** One finger, in small steps. */
  async drag(from: Point, to: Point): Promise<void> {
    const steps = 12;
    await this.down(from);
    for (let step = 1; step <= steps; step++) {
      await this.move({ x: from.x + ((to.x - from.x) * step) / steps, y: from.y + ((to.y - from.y) * step) / steps });
    }
    await this.up();
  }

  async #touch(type: "touchStart" | "touchMove" | "touchEnd", points: Point[]): Promise<void> {
    await this.cdp.send("Input.dispatchTouchEvent", { type, touchPoints: points.map((point, id) => ({ ...point, id })) });
  }
}
