/** Of many wishes in a row only the newest counts: it waits a moment, and ends the one before it. */

export class Latest {
  readonly #delayMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort: AbortController | null = null;
  #count = 0;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /**
   * Runs `job` soon, at once with `now`, unless a newer wish comes before. What
   * it answers reaches `done`, and what goes wrong `failed`, only while it is
   * still the newest.
   */
  want<T>(job: (signal: AbortSignal) => Promise<T>, done: (answer: T) => void, failed: (error: unknown) => void, now = false): void {
    this.cancel();
    const count = this.#count;
    const run = async (): Promise<void> => {
      this.#abort = new AbortController();
      try {
        const answer = await job(this.#abort.signal);
        if (count === this.#count) done(answer);
      } catch (error) {
        if (count === this.#count) failed(error);
      }
    };
    if (now) void run();
    else this.#timer = setTimeout(() => void run(), this.#delayMs);
  }

  cancel(): void {
    this.#count += 1;
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }
}
