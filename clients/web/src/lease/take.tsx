/** Taking control: at once where no force is needed, else after a plain warning. */

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import type { Attachment } from "../terminal/attachment";
import { Confirm } from "../ui/dialog";
import { leaseView, type LeaseView } from "./lease_view";

/** Reads signals: whoever renders it is drawn again when one of them changes. */
export function viewOf(attachment: Attachment): LeaseView {
  return leaseView({
    lease: attachment.lease.value,
    me: attachment.clientId,
    clients: attachment.clients.value,
    status: attachment.status.value,
    live: attachment.connection.value.state === "live",
    known: attachment.known.value,
    watchOnly: attachment.watchOnly,
  });
}

/** Claims, and gives the terminal the keyboard. */
export function claimAndType(attachment: Attachment, force: boolean): void {
  attachment.claim(force);
  // Once a dialog, if there was one, has let go of the page.
  requestAnimationFrame(() => attachment.focus());
}

export function useTake(attachment: Attachment): { take(): void; dialog: VNode | null } {
  const warned = useSignal(false);
  const { confirm } = viewOf(attachment);
  const take = (): void => {
    if (confirm) warned.value = true;
    else claimAndType(attachment, false);
  };
  return { take, dialog: warned.value ? <TakeDialog attachment={attachment} onClose={() => (warned.value = false)} /> : null };
}

/** What taking control means now: it may have moved since the question came up. */
export function TakeDialog({ attachment, onClose }: { attachment: Attachment; onClose(): void }) {
  const { can, confirm } = viewOf(attachment);
  const free = can.claim || can.take ? "Nobody is in the way any more: taking control needs no force." : "You have control already, or cannot take it now.";
  const { title, text } = confirm ?? { title: "Take control?", text: free };
  return <Confirm title={title} text={text} action="Take control" onConfirm={() => claimAndType(attachment, confirm !== null)} onClose={onClose} />;
}
