/** The focus stays on a request when what had it is drawn no more: a button that was pressed, a field that was sent. */

import { useLayoutEffect } from "preact/hooks";

const REQUEST = "[data-approval-detail]";

/** For each component that takes such things away. */
export function useKeptFocus(): void {
  const had = document.activeElement?.closest(REQUEST) != null;
  useLayoutEffect(() => {
    if (had && document.activeElement === document.body) document.querySelector<HTMLElement>(`${REQUEST} .approval-title`)?.focus({ preventScroll: true });
  });
}
