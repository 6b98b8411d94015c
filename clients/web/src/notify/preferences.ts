/** What this browser tells of, and how; it stays in this browser. */

import { readStored, writeStored } from "../access/identity";

export interface NotifyPreferences {
  /** Notifications of the browser, for what is chosen below. */
  notifications: boolean;
  bell: boolean;
  finished: boolean;
  message: boolean;
  /** A command that took this long has finished, a shorter one has only run. */
  long_s: number;
  /** Small pictures of the screens in the list. */
  pictures: boolean;
}

const KEY = "baton.notify";
export const LONG_S = { least: 1, most: 3600 } as const;
const DEFAULTS: NotifyPreferences = { notifications: false, bell: true, finished: true, message: true, long_s: 10, pictures: true };

export function loadPreferences(): NotifyPreferences {
  return preferencesFrom(readStored(KEY));
}

export function savePreferences(preferences: NotifyPreferences): void {
  writeStored(KEY, JSON.stringify(preferences));
}

/** What is stored, and what is usual for the rest. */
export function preferencesFrom(text: string | null): NotifyPreferences {
  let stored: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    if (typeof value === "object" && value !== null) stored = value as Record<string, unknown>;
  } catch {
    // Not ours: as if there were nothing.
  }
  const flag = (name: keyof NotifyPreferences): boolean => (typeof stored[name] === "boolean" ? stored[name] : DEFAULTS[name] === true);
  return {
    notifications: flag("notifications"),
    bell: flag("bell"),
    finished: flag("finished"),
    message: flag("message"),
    long_s: clampLong(stored["long_s"]),
    pictures: flag("pictures"),
  };
}

export function clampLong(seconds: unknown): number {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return DEFAULTS.long_s;
  return Math.min(LONG_S.most, Math.max(LONG_S.least, Math.round(seconds)));
}
