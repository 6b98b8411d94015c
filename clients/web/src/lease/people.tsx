/** Who is here: who has control and since when, and who watches with how large a window. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { ClientInfo } from "../api/protocol";
import { store } from "../state";
import type { Attachment } from "../terminal/attachment";
import { halfMinute } from "../ui/clock";
import { EyeIcon } from "../ui/icons";
import { agoText, clockText } from "../ui/words";
import { clientLabel, ownerLabel } from "./names";

export function People({ attachment }: { attachment: Attachment }) {
  const open = useSignal(false);
  const clients = attachment.clients.value;
  const { owner } = attachment.lease.value;
  const watching = clients.filter(({ client_id }) => client_id !== owner);
  if (clients.length === 0) return null;
  return (
    <details
      class="menu watchers"
      onToggle={(event) => (open.value = event.currentTarget.open)}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.removeAttribute("open")}
    >
      <summary class="button small quiet" data-testid="watchers" aria-label={`${watching.length} watching`}>
        <EyeIcon /> <span>{watching.length}<span class="wide-only"> watching</span></span>
      </summary>
      <div class="menu-body people" data-testid="people">
        {open.value && <Owner attachment={attachment} />}
        <h3>{watching.length === 0 ? "Nobody else watches" : "Watching"}</h3>
        {watching.length > 0 && <ul>{watching.map((client) => <Person key={client.client_id} client={client} attachment={attachment} />)}</ul>}
      </div>
    </details>
  );
}

function Owner({ attachment }: { attachment: Attachment }) {
  const lease = attachment.lease.value;
  const { owner, epoch } = lease;
  const since = attachment.handoff.since.value;
  const known = since?.epoch === epoch;
  useEffect(() => {
    if (owner === null || known) return;
    // It was so before this tab came: the session's own record says since when.
    store.client.handoff.heldSince(attachment.sessionId, epoch).then((at) => at !== null && attachment.handoff.learned(epoch, at), () => undefined);
  }, [attachment, owner, epoch, known]);
  if (owner === null) return <p class="help" data-testid="owner-line">Nobody has control.</p>;
  const here = attachment.clients.value.find(({ client_id }) => client_id === owner);
  const mine = owner === attachment.clientId;
  return (
    <div class="person owner-line" data-testid="owner-line">
      <span><strong>{mine ? "You" : ownerLabel(lease)}</strong> {mine ? "have" : "has"} control{known && ` since ${clockText(since.at, halfMinute.value)}`}</span>
      <span class="help">{lease.expired ? "Away: whoever types takes control." : here ? sizeText(here) : "Lost the connection a moment ago."}</span>
    </div>
  );
}

function Person({ client, attachment }: { client: ClientInfo; attachment: Attachment }) {
  const me = client.client_id === attachment.clientId;
  const mine = attachment.lease.value.owner === attachment.clientId && attachment.connection.value.state === "live";
  const asks = attachment.requests.value.some(({ client_id }) => client_id === client.client_id);
  return (
    <li class="person field-row" data-client={client.client_id}>
      <span>
        <span>{clientLabel(client)}{me && " (this tab)"}{asks && " · asks for control"}</span>
        <span class="help">{sizeText(client)}, came {agoText(client.attached_at, halfMinute.value)}</span>
      </span>
      {mine && !me && <button type="button" class="button small" onClick={() => attachment.give(client.client_id)}>Give control</button>}
    </li>
  );
}

function sizeText({ viewport }: ClientInfo): string {
  return viewport ? `Window ${viewport.cols} × ${viewport.rows}` : "Window not known";
}
