/** What is said of control over the terminal, where the eyes are: who took it, who asks for it, and that typing went nowhere. */

import type { Attachment } from "../terminal/attachment";
import { bytesText } from "../ui/words";
import { takenText } from "./change";
import { ownerLabel, plainName } from "./names";
import { useTake, viewOf } from "./take";

/** More would hide the terminal; the others stand in the list of who is here. */
const REQUESTS_SHOWN = 3;

export function LeaseStrips({ attachment }: { attachment: Attachment }) {
  return (
    <div class="over-terminal at-top">
      <TakenBanner attachment={attachment} />
      <div role="status" aria-live="polite" class="requests">
        {attachment.requests.value.slice(0, REQUESTS_SHOWN).map(({ client_id, name }) => (
          <div key={client_id} class="strip" data-testid="control-request">
            <span><strong>{plainName(name)}</strong> asks for control.</span>
            <span class="strip-actions">
              <button type="button" class="button small primary" data-testid="give-control" onClick={() => attachment.give(client_id)}>Give to {plainName(name)}</button>
              <button type="button" class="button small" data-testid="deny-control" onClick={() => attachment.deny(client_id)}>Deny</button>
            </span>
          </div>
        ))}
      </div>
    </div>
  );
}

/** Control was taken from this tab. It stays until it is answered: whoever looked away must find it. */
function TakenBanner({ attachment }: { attachment: Attachment }) {
  const taken = attachment.handoff.taken.value;
  const { can } = viewOf(attachment);
  const { take, dialog } = useTake(attachment);
  if (!taken) return null;
  const at = new Date(taken.at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  return (
    <div class="strip hint taken" role="alert" data-testid="taken-banner">
      <span>
        <strong>{takenText({ ...taken, at })}</strong>
        {taken.dropped > 0 && <span data-testid="taken-dropped"> {bytesText(taken.dropped)} you typed {taken.dropped === 1 ? "was" : "were"} not sent.</span>}
      </span>
      <span class="strip-actions">
        {(can.take || can.claim) && <button type="button" class="button small primary" data-testid="take-back" onClick={take}>Take back</button>}
        {can.ask && <button type="button" class="button small" data-testid="taken-ask" disabled={attachment.asked} onClick={() => attachment.ask()}>{attachment.asked.value ? "Asked, waiting…" : "Ask"}</button>}
        <button type="button" class="button small quiet" data-testid="taken-dismiss" onClick={() => attachment.handoff.dismiss()}>Dismiss</button>
      </span>
      {dialog}
    </div>
  );
}

/** Typed while another has control: nothing was sent, and this is how to change that. */
export function HeldHint({ attachment }: { attachment: Attachment }) {
  const lease = attachment.lease.value;
  const { can } = viewOf(attachment);
  const { take, dialog } = useTake(attachment);
  if (!attachment.typing.hint.value || lease.owner === null || lease.owner === attachment.clientId) return null;
  return (
    <div class="strip hint" role="status" data-testid="held-hint">
      <span><strong>{ownerLabel(lease)}</strong> has control. What you typed was not sent.</span>
      <span class="strip-actions">
        {can.take && <button type="button" class="button small" onClick={take}>Take control</button>}
        {can.ask && !attachment.asked.value && <button type="button" class="button small" onClick={() => attachment.ask()}>Ask</button>}
        <button type="button" class="button small quiet" onClick={() => (attachment.typing.hint.value = false)}>Dismiss</button>
      </span>
      {dialog}
    </div>
  );
}
