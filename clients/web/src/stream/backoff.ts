/**
 * How long to wait before the next attempt to connect.
 *
 * The first retry is all but immediate, since a restarted bridge keeps its
 * listening socket and simply answers late. Later ones double up to a ceiling
 * short enough that nobody reaches for the reload key.
 */

const FIRST_MS = 150;
const CEILING_MS = 8_000;

/**
 * Delay before attempt number `attempt` (from 1), with `random` in [0, 1)
 * spreading many tabs over half of it.
 */
export function retryDelayMs(attempt: number, random: number): number {
  const full = Math.min(CEILING_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  return Math.round(full * (0.5 + random / 2));
}

/** Failed attempts after which the page stops saying "reconnecting" and says "not reachable". */
export const ATTEMPTS_BEFORE_OFFLINE = 4;
