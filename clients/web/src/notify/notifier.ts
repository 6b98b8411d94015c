/**
 * Notifications of the browser, for what happens in a session nobody looks at.
 *
 * They name the session and what it said in short, never what stands on its
 * screen. A program that rings without end is heard every five seconds.
 */

import { durationText } from "../ui/words";
import { plainLine } from "../ui/plain_text";
import type { AttentionMark } from "./marks";
import type { NotifyPreferences } from "./preferences";

const APART_MS = 5_000;
const ALL_MAX = 5;
const ALL_MS = 10_000;
/** A look in another tab is heard of by then. */
const SEEN_MS = 300;
/** Older news is in the list. */
const FRESH_MS = 60_000;
const SESSIONS_MAX = 300;
const TEXT_CHARS_MAX = 120;

export interface NotifierOptions {
  preferences(): NotifyPreferences;
  /** None of a session that is not in the list. */
  nameOf(id: string): string | null;
  isSeen(id: string, seq: number): boolean;
  open(id: string): void;
  /** Shows it; `Notification` where there is one. */
  show(title: string, text: string, id: string, pressed: () => void): void;
}

export class Notifier {
  readonly #shownAt = new Map<string, number>();
  #recent: number[] = [];

  constructor(private readonly options: NotifierOptions) {}

  raised(id: string, mark: AttentionMark): void {
    if (!this.#wanted(mark) || Date.now() - Date.parse(mark.at) > FRESH_MS) return;
    setTimeout(() => {
      const name = this.options.nameOf(id);
      if (name !== null && !this.options.isSeen(id, mark.seq) && this.#hasRoom(id)) this.#show(id, name, mark);
    }, SEEN_MS);
  }

  #wanted({ kind }: AttentionMark): boolean {
    const preferences = this.options.preferences();
    return preferences.notifications && preferences[kind === "ended" ? "finished" : kind];
  }

  #hasRoom(id: string): boolean {
    const now = performance.now();
    this.#recent = this.#recent.filter((at) => now - at < ALL_MS);
    if (this.#recent.length >= ALL_MAX || now - (this.#shownAt.get(id) ?? -Infinity) < APART_MS) return false;
    this.#recent.push(now);
    this.#shownAt.delete(id);
    this.#shownAt.set(id, now);
    for (const oldest of this.#shownAt.keys()) if (this.#shownAt.size > SESSIONS_MAX) this.#shownAt.delete(oldest);
    return true;
  }

  #show(id: string, name: string, mark: AttentionMark): void {
    this.options.show(plainLine(name, TEXT_CHARS_MAX), plainLine(notificationText(mark), TEXT_CHARS_MAX), id, () => this.options.open(id));
  }
}

export function notificationText({ kind, text, code, ms }: AttentionMark): string {
  switch (kind) {
    case "bell":
      return "Rang the bell";
    case "message":
      return text || "Sent a notification without text";
    case "finished":
      return `A command ${code === 0 ? "finished" : code === null || code === undefined ? "ended" : `failed with exit code ${code}`}${ms ? ` after ${durationText(ms)}` : ""}`;
    case "ended":
      if (text === "lost") return "Its host died";
      return code === null || code === undefined ? "The session ended" : `The session ended with exit code ${code}`;
  }
}

/** By the browser; where only a service worker may (phones), by that. */
export function showNotification(title: string, text: string, id: string, pressed: () => void): void {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  const options = { body: text, tag: `baton:${id}`, icon: "/favicon.svg" };
  try {
    const notification = new Notification(title, options);
    notification.onclick = () => {
      window.focus();
      pressed();
      notification.close();
    };
  } catch {
    void navigator.serviceWorker?.getRegistration().then((worker) => worker?.showNotification(title, { ...options, data: { session: id } }));
  }
}
