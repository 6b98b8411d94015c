/** Fingers on a page, as the browser itself would hear of them. */

import { expect, type CDPSession, type Locator, type Page } from "@playwright/test";

/** CSS pixels that a finger needs to hit a button: WCAG 2.2, 2.5.5. */
const FINGER_PX = 44;

/** Is shown as large as a finger needs it, to a hundredth of a pixel: what is still moving lies between two of them. */
export async function expectRoomForFinger(button: Locator): Promise<void> {
  const box = await button.boundingBox();
  const smallest = Math.min(box?.width ?? 0, box?.height ?? 0);
  expect(Math.round(smallest * 100) / 100, String(button)).toBeGreaterThanOrEqual(FINGER_PX);
}

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
