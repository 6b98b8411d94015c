/** What this browser has for getting somebody's attention. */

import type { Surroundings } from "./alerts";
import { chime, prepareChime } from "./chime";

const TAG = "baton-approvals";

export const browserAlerts: Surroundings = {
  isAway: () => document.hidden || !document.hasFocus(),
  chime,
  notify(title, body, onPress) {
    if (!mayNotify()) return;
    try {
      // One at a time: a newer one takes the place of the last.
      const notice = new Notification(title, { body, tag: TAG });
      notice.onclick = () => {
        window.focus();
        notice.close();
        onPress();
      };
    } catch {
      // Some phones let only an installed page's worker notify.
    }
  },
};

export function mayNotify(): boolean {
  return "Notification" in window && Notification.permission === "granted";
}

/** Asks the person, who has just pressed something for it; whether the browser lets the page. */
export async function askToNotify(): Promise<boolean> {
  if (!("Notification" in window)) return false;
  return (await Notification.requestPermission()) === "granted";
}

/** A sound that is wanted plays from the first key or press on. */
export function prepareSoundOnce(): void {
  for (const kind of ["pointerdown", "keydown"] as const) addEventListener(kind, prepareChime, { once: true, capture: true });
}
