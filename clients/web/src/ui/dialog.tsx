/** A question or a small form over the page: the browser's own modal dialog. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { useModal } from "./modal";

interface DialogProps {
  title: string;
  onClose(): void;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const titleId = useId();
  const modal = useModal(onClose);
  return (
    <dialog ref={modal.ref} class="dialog" aria-labelledby={titleId} onKeyDown={modal.onEscape} onClose={modal.onClose}>
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  text: string;
  action: string;
  danger?: boolean;
  onConfirm(): void;
  onClose(): void;
}

export function Confirm({ title, text, action, danger = false, onConfirm, onClose }: ConfirmProps) {
  const confirm = (): void => {
    onClose();
    onConfirm();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{text}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>Cancel</button>
        <button type="button" class={danger ? "button danger" : "button primary"} data-testid="confirm" onClick={confirm}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}
