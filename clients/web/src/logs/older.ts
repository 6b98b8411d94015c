/**
 * Reads what was before an event.
 *
 * The bridge tells events forwards only, after a number. In one life of a bridge numbers have no holes, so the number that is
 * `count` before is a good guess; between two lives there are large ones, so a guess that finds too little is followed by one
 * much further back, and by the beginning in the end. Of what comes only the newest `count` are kept.
 */

import { seqOf } from "./seq";

/** Each guess is so many times further back than the one before. */
const FARTHER = 1024;
/** A connection that says nothing for so long has told everything. */
const QUIET_MS = 3_000;

export interface Older {
  /** Oldest first. */
  messages: string[];
  /** Nothing older is kept by the bridge. */
  whole: boolean;
}

/** The newest `count` messages before the event `before`. */
export async function readOlder(open: (cursor: number) => WebSocket, before: number, count: number, signal: AbortSignal): Promise<Older> {
  for (let back = count; ; back *= FARTHER) {
    const cursor = Math.max(0, before - 1 - back);
    const { messages, more } = await readBetween(open(cursor), before, count, cursor > 0, signal);
    if (cursor === 0) return { messages, whole: !more };
    if (messages.length >= count) return { messages, whole: false };
  }
}

/** What a connection tells before the event `before`: the newest `count`, and whether there was more. */
function readBetween(socket: WebSocket, before: number, count: number, guessed: boolean, signal: AbortSignal): Promise<{ messages: string[]; more: boolean }> {
  return new Promise((resolve, reject) => {
    let messages: string[] = [];
    let more = false;
    let first = true;
    let quiet = setTimeout(() => end(), QUIET_MS);
    const leave = (): void => {
      clearTimeout(quiet);
      signal.removeEventListener("abort", aborted);
      socket.onmessage = socket.onclose = null;
      socket.close();
    };
    const end = (): void => {
      leave();
      if (messages.length > count) more = true;
      resolve({ messages: messages.slice(-count), more });
    };
    const aborted = (): void => {
      leave();
      reject(signal.reason);
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data !== "string") return;
      clearTimeout(quiet);
      quiet = setTimeout(() => end(), QUIET_MS);
      const seq = seqOf(data);
      // The place was guessed: that nobody knows it says nothing.
      const unknown = first && guessed && isGap(data);
      first = false;
      if (unknown) return;
      if (seq >= before) return end();
      messages.push(data);
      if (messages.length < 2 * count) return;
      messages = messages.slice(-count);
      more = true;
    };
    socket.onclose = () => {
      leave();
      reject(new Error("The bridge ended the connection while older events were read. Try again."));
    };
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) aborted();
  });
}

function isGap(json: string): boolean {
  return (JSON.parse(json) as { type?: unknown }).type === "gap";
}
