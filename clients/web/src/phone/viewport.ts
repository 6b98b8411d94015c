/** The part of the window that is seen on a phone, followed: the page ends where the keyboard begins. */

import { Keyboard } from "./keyboard";

/** Rotating and opening a keyboard come in several steps; the last one counts. */
const SETTLE_TOUCH_MS = 280;
const SETTLE_MS = 80;

export class TouchViewport {
  readonly #keyboard = new Keyboard();
  readonly #coarse = matchMedia("(pointer: coarse)");

  /** How long the window must keep its size before the terminal follows. */
  get settleMs(): number {
    return this.#coarse.matches ? SETTLE_TOUCH_MS : SETTLE_MS;
  }

  /** Pixels at the bottom that a keyboard took; 0 where there is none on the screen. */
  look(): number {
    const seen = window.visualViewport;
    // Zoomed in by two fingers the visible part says nothing about keyboards.
    if (!this.#coarse.matches || !seen || seen.scale > 1.01) return 0;
    const look = { width: Math.round(seen.width), height: Math.round(seen.height), typing: opensKeyboard(document.activeElement) };
    return this.#keyboard.look(look);
  }

  /** Keeps the page as high as what is seen of it. */
  follow(): () => void {
    const seen = window.visualViewport;
    if (!seen) return () => undefined;
    const resized = (): void => {
      if (!this.#coarse.matches || seen.scale > 1.01) return;
      this.look();
      document.documentElement.style.setProperty("--visible-height", `${seen.height}px`);
      // A browser that covers the page instead of shrinking it also pushes it up.
      if (seen.offsetTop > 0) window.scrollTo(0, 0);
    };
    seen.addEventListener("resize", resized);
    resized();
    return () => {
      seen.removeEventListener("resize", resized);
      document.documentElement.style.removeProperty("--visible-height");
    };
  }
}

export const touchViewport = new TouchViewport();

function opensKeyboard(element: Element | null): boolean {
  return element instanceof HTMLTextAreaElement || (element instanceof HTMLInputElement && !["checkbox", "radio", "range", "button"].includes(element.type));
}
