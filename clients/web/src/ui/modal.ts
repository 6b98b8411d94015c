/** What every dialog over the page shares: it opens at once, gives the focus back at once, and ends once. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { RefObject } from "preact";

interface Modal {
  ref: RefObject<HTMLDialogElement | null>;
  /** For the dialog's `onKeyDown`, where nothing else takes Escape. */
  onEscape(event: KeyboardEvent): void;
  /** For the dialog's `onClose`. */
  onClose(): void;
}

export function useModal(close: () => void): Modal {
  const ref = useRef<HTMLDialogElement>(null);
  const over = useRef(false);
  // At once: what is typed next is meant for it.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = ref.current;
    dialog?.showModal();
    return () => {
      over.current = true;
      const nowhere = document.activeElement === document.body || dialog?.contains(document.activeElement);
      // The browser gives the focus back when a dialog is closed, not when it is taken away.
      dialog?.close();
      if (nowhere && before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  // The browser tells one task later that a dialog was closed. Who types on meanwhile may have been asked the next question
  // by then, and that one is not over.
  const leave = (): void => {
    if (!over.current) close();
  };
  const onEscape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
    event.preventDefault();
    event.stopPropagation();
    leave();
  };
  return { ref, onEscape, onClose: leave };
}
