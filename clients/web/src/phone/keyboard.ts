/**
 * Whether a phone's keyboard covers a part of the window.
 *
 * No browser says so on every phone: some shrink the window, some cover it. So
 * it is inferred: somebody types, and the window is much lower than it was at
 * this width. The session keeps its rows then and the terminal scrolls instead:
 * else every opening of a keyboard would make the program draw itself anew, a
 * handful of rows high, for everybody who watches.
 */

export interface Look {
  width: number;
  height: number;
  /** The focus is where a keyboard opens. */
  typing: boolean;
}

/** Lower than any keyboard, higher than an address bar that comes and goes. */
const KEYBOARD_MIN_PX = 120;

export class Keyboard {
  #width = 0;
  #tallest = 0;
  #covered = 0;

  /** How many pixels of the height are the keyboard's. */
  look({ width, height, typing }: Look): number {
    if (width !== this.#width) {
      // Rotated with the keyboard open: it stays, about as high.
      this.#tallest = height + (typing ? this.#covered : 0);
      this.#width = width;
    }
    this.#tallest = Math.max(this.#tallest, height);
    const missing = this.#tallest - height;
    this.#covered = typing && missing >= KEYBOARD_MIN_PX ? missing : 0;
    return this.#covered;
  }
}
