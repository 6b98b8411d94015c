/** A read-only look at the terminal, for tests that drive a real browser. */

import type { History } from "./history/history";
import { store } from "./state";

export interface TestView {
  /** The visible rows, joined by newlines. */
  text(): string;
  /** The rows of the past that is looked at; empty while nobody looks back. */
  past(): string;
  /** What is marked there. */
  pastMarked(): string;
  /** `live`, `loading`, `shown` or `playing`. */
  looking(): string;
  /** How many rows the emulator keeps, and what stands in them, wrapped lines as one. */
  lines(): number;
  allLines(): string;
  cursor(): string;
  epoch(): number;
  cols(): number;
  rows(): number;
  /** The numbers of the events that the logs panel has. */
  logSeqs(): readonly number[];
}

declare global {
  interface Window {
    batonTest?: Readonly<TestView>;
  }
}

export function exposeForTests(): void {
  const attachment = (): typeof store.attachment.value => store.attachment.peek();
  window.batonTest = Object.freeze({
    text: () => attachment()?.screen.text() ?? "",
    past: () => attachment()?.history.screen?.text() ?? "",
    pastMarked: () => attachment()?.history.screen?.marked() ?? "",
    looking: () => looking(attachment()?.history),
    lines: () => attachment()?.screen.term.buffer.active.length ?? 0,
    allLines: () => attachment()?.screen.allLines() ?? "",
    cursor: () => attachment()?.cursor ?? "",
    epoch: () => attachment()?.lease.peek().epoch ?? 0,
    cols: () => attachment()?.screen.term.cols ?? 0,
    rows: () => attachment()?.screen.term.rows ?? 0,
    logSeqs: () => store.logs.seqs,
  });
}

function looking(history: History | undefined): string {
  if (!history?.isOpen.peek()) return "live";
  if (history.playing.peek()) return "playing";
  return history.loading.peek() ? "loading" : "shown";
}
