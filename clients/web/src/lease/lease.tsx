/** Who has control, and the verbs that pass the baton. */

import type { Attachment } from "../terminal/attachment";
import { People } from "./people";
import { claimAndType, useTake, viewOf } from "./take";
import { clientLabel } from "./names";
import { ShareMenu } from "../share/share_menu";
import { store } from "../state";
import "./lease.css";

export function LeaseBar({ attachment }: { attachment: Attachment }) {
  const { state, dim, text, short, can } = viewOf(attachment);
  const { take, dialog } = useTake(attachment);
  // A session that is not there has nobody to name.
  if (attachment.connection.value.state === "ended" && !attachment.known.value) return null;
  return (
    <div class="lease-bar">
      <span class={`chip lease-${dim ? "dim" : state}`} data-testid="lease-state" data-state={state} role="status" title={text}>
        <span class="dot" aria-hidden="true" />
        <span class="lease-text">{text}</span>
        <span class="lease-short">{short}</span>
      </span>
      {can.claim && <button type="button" class="button small" data-testid="claim" onClick={() => claimAndType(attachment, false)}>Claim</button>}
      {can.release && <button type="button" class="button small" data-testid="release" onClick={() => attachment.release()}>Release</button>}
      {can.release && <GiveTo attachment={attachment} />}
      {can.take && <button type="button" class="button small" data-testid="take-control" onClick={take}>Take control</button>}
      {can.ask && (
        <button type="button" class="button small" data-testid="ask-control" disabled={attachment.asked} onClick={() => attachment.ask()}>
          {attachment.asked.value ? <span>Asked<span class="wide-only">, waiting</span>…</span> : <span>Ask<span class="wide-only"> for control</span></span>}
        </button>
      )}
      <People attachment={attachment} />
      {store.current.value && <ShareMenu session={store.current.value} />}
      {dialog}
    </div>
  );
}

/** The owner passes control on to somebody who is here. */
function GiveTo({ attachment }: { attachment: Attachment }) {
  const others = attachment.clients.value.filter(({ client_id }) => client_id !== attachment.clientId);
  if (others.length === 0) return null;
  const give = (event: MouseEvent & { currentTarget: HTMLElement }, clientId: string): void => {
    event.currentTarget.closest("details")?.removeAttribute("open");
    attachment.give(clientId);
  };
  return (
    <details class="menu give-to" onKeyDown={(event) => event.key === "Escape" && event.currentTarget.removeAttribute("open")}>
      <summary class="button small" data-testid="give-to"><span>Give<span class="wide-only"> to</span>…</span></summary>
      <div class="menu-body narrow">
        {others.map((client) => (
          <button key={client.client_id} type="button" class="button quiet" data-testid="give-to-client" data-client={client.client_id} onClick={(event) => give(event, client.client_id)}>
            {clientLabel(client)}
          </button>
        ))}
      </div>
    </details>
  );
}
