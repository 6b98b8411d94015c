/** The time, as signals; a component redraws only as often as it needs. */

import { signal } from "@preact/signals";
import { onPulse } from "../stream/pulse";

/** Moves once a second. */
export const second = signal(Date.now());
/** Moves twice a minute. */
export const halfMinute = signal(Date.now());

onPulse(() => {
  const now = Date.now();
  second.value = now;
  if (now - halfMinute.peek() >= 30_000) halfMinute.value = now;
});
