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
/** A connection that says nothing for so long will not tell of the event that is waited for. */
const QUIET_MS = 15_000;

export interface Older {
  /** Oldest first. */
  messages: string[];
  /** Nothing older is kept by the bridge. */
  whole: boolean;
}

/** The newest `count` messages up to the event `last`, which was told before and so tells where to stop. */
export async function readOlder(open: (cursor: number) => WebSocket, last: number, count: number, signal: AbortSignal): Promise<Older> {
  for (let back = count; ; back *= FARTHER) {
    const cursor = Math.max(0, last - back);
    const { messages, more } = await readUpTo(open(cursor), last, count, cursor > 0, signal);
    if (cursor === 0) return { messages, whole: !more };
    if (messages.length >= count) return { messages, whole: false };
  }
}

/** What a connection tells up to the event `last`: the newest `count`, and whether there was more. */
function readUpTo(socket: WebSocket, last: number, count: number, guessed: boolean, signal: AbortSignal): Promise<{ messages: string[]; more: boolean }> {
  return new Promise((resolve, reject) => {
    let messages: string[] = [];
    let more = false;
    let first = true;
    const silent = (): void => {
      leave();
      reject(new Error("The bridge told nothing while older events were read. Try again."));
    };
    let quiet = setTimeout(silent, QUIET_MS);
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
      quiet = setTimeout(silent, QUIET_MS);
      const seq = seqOf(data);
      // The place was guessed: that nobody knows it says nothing.
      const unknown = first && guessed && isGap(data);
      first = false;
      if (unknown) return;
      if (seq <= last) messages.push(data);
      if (seq >= last) return end();
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
