/** A button that has just come under somebody's pointer is not pressed yet: it was another one that was meant. */

import { useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export const ARMING_MS = 500;

/** False for a moment after `what` changed, and after the page came into sight. */
export function useArmed(what: unknown): ReadonlySignal<boolean> {
  const armed = useSignal(false);
  const of = useSignal<unknown>(what);
  // In the same drawing, not after it: the new button is never there with the old one's word.
  if (of.peek() !== what) {
    of.value = what;
    armed.value = false;
  }
  useEffect(() => {
    let timer = setTimeout(arm, ARMING_MS);
    function arm(): void {
      armed.value = true;
    }
    function sighted(): void {
      if (document.hidden) return;
      clearTimeout(timer);
      armed.value = false;
      timer = setTimeout(arm, ARMING_MS);
    }
    document.addEventListener("visibilitychange", sighted);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", sighted);
    };
  }, [what]);
  return armed;
}
