/** A read-only look at the terminal, for tests that drive a real browser. */

import { store } from "./state";

export interface TestView {
  /** The visible rows, joined by newlines. */
  text(): string;
  cursor(): string;
  epoch(): number;
  cols(): number;
  rows(): number;
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
    cursor: () => attachment()?.cursor ?? "",
    epoch: () => attachment()?.lease.peek().epoch ?? 0,
    cols: () => attachment()?.screen.term.cols ?? 0,
    rows: () => attachment()?.screen.term.rows ?? 0,
  });
}
