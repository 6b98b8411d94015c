/** A key that is held down: pressed at once, then again and again after a while. */

const FIRST_MS = 380;
const EVERY_MS = 65;
/** A finger's end may go unheard; no key repeats for ever. */
const PRESSES_MAX = 400;

export class Repeat {
  #timer: ReturnType<typeof setTimeout>;
  #presses = 1;

  constructor(private readonly press: () => void) {
    press();
    this.#timer = setTimeout(() => this.#again(), FIRST_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #again(): void {
    if (this.#presses++ >= PRESSES_MAX) return;
    this.press();
    this.#timer = setTimeout(() => this.#again(), EVERY_MS);
  }
}
