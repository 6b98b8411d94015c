/** Who has control, who watches, and the verbs that pass the baton. */

import { useSignal } from "@preact/signals";
import type { Attachment } from "../terminal/attachment";
import { Confirm } from "../ui/dialog";
import { EyeIcon } from "../ui/icons";
import { leaseView, ownerLabel, type LeaseView } from "./lease_view";

export function LeaseBar({ attachment }: { attachment: Attachment }) {
  const confirming = useSignal(false);
  const { state, dim, text, can, confirm } = viewOf(attachment);
  const take = (): void => {
    if (confirm) confirming.value = true;
    else attachment.claim(true);
  };
  return (
    <div class="lease-bar">
      <span class={`chip lease-${dim ? "dim" : state}`} data-testid="lease-state" data-state={state} role="status">
        <span class="dot" aria-hidden="true" />
        <span>{text}</span>
      </span>
      {can.claim && <button type="button" class="button small" data-testid="claim" onClick={() => attachment.claim(false)}>Claim</button>}
      {can.release && <button type="button" class="button small" data-testid="release" onClick={() => attachment.release()}>Release</button>}
      {can.take && <button type="button" class="button small" data-testid="take-control" onClick={take}>Take control</button>}
      {can.ask && (
        <button type="button" class="button small" data-testid="ask-control" disabled={attachment.asked} onClick={() => attachment.ask()}>
          {attachment.asked.value ? "Asked, waiting…" : <span>Ask<span class="wide-only"> for control</span></span>}
        </button>
      )}
      <Watchers attachment={attachment} mine={state === "mine"} />
      {confirming.value && (
        <Confirm
          title="Take control?"
          text={confirm ?? "Control is free by now; take it?"}
          action="Take control"
          onConfirm={() => attachment.claim(true)}
          onClose={() => (confirming.value = false)}
        />
      )}
    </div>
  );
}

function Watchers({ attachment, mine }: { attachment: Attachment; mine: boolean }) {
  const owner = attachment.lease.value.owner;
  const watching = attachment.clients.value.filter(({ client_id }) => client_id !== owner);
  const others = watching.filter(({ client_id }) => client_id !== attachment.clientId);
  if (attachment.clients.value.length === 0) return null;
  return (
    <details class="menu watchers">
      <summary class="button small quiet" data-testid="watchers" aria-label={`${watching.length} watching`}>
        <EyeIcon /> <span>{watching.length}<span class="wide-only"> watching</span></span>
      </summary>
      <div class="menu-body">
        {watching.length === 0 && <p class="help">Nobody watches besides the one in control.</p>}
        <ul>
          {watching.map((client) => (
            <li key={client.client_id} class="field-row">
              <span>
                {client.name} · {client.client_kind}
                {client.client_id === attachment.clientId && " (this tab)"}
              </span>
              {mine && others.includes(client) && (
                <button type="button" class="button small" onClick={() => attachment.give(client.client_id)}>Give control</button>
              )}
            </li>
          ))}
        </ul>
      </div>
    </details>
  );
}

/** Asked for control: the owner answers. */
export function ControlRequests({ attachment }: { attachment: Attachment }) {
  return (
    <div class="over-terminal at-top" role="status" aria-live="polite">
      {attachment.requests.value.map(({ client_id, name }) => (
        <div key={client_id} class="strip" data-testid="control-request">
          <span><strong>{name}</strong> asks for control.</span>
          <span class="strip-actions">
            <button type="button" class="button small primary" data-testid="give-control" onClick={() => attachment.give(client_id)}>Give to {name}</button>
            <button type="button" class="button small" data-testid="deny-control" onClick={() => attachment.deny(client_id)}>Deny</button>
          </span>
        </div>
      ))}
    </div>
  );
}

/** Typed while another has control: nothing was sent, and this is how to change that. */
export function HeldHint({ attachment }: { attachment: Attachment }) {
  const confirming = useSignal(false);
  const lease = attachment.lease.value;
  if (!attachment.hint.value || lease.owner === null || lease.owner === attachment.clientId) return null;
  const { can, confirm } = viewOf(attachment);
  const take = (): void => {
    if (confirm) confirming.value = true;
    else attachment.claim(true);
  };
  return (
    <div class="over-terminal at-bottom">
      <div class="strip hint" role="status" data-testid="held-hint">
        <span><strong>{ownerLabel(lease)}</strong> has control. What you typed was not sent.</span>
        <span class="strip-actions">
          {can.take && <button type="button" class="button small" onClick={take}>Take control</button>}
          {can.ask && !attachment.asked.value && <button type="button" class="button small" onClick={() => attachment.ask()}>Ask</button>}
          <button type="button" class="button small quiet" onClick={() => (attachment.hint.value = false)}>Dismiss</button>
        </span>
        {confirming.value && confirm && (
          <Confirm title="Take control?" text={confirm} action="Take control" onConfirm={() => attachment.claim(true)} onClose={() => (confirming.value = false)} />
        )}
      </div>
    </div>
  );
}

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
