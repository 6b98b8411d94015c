/** One session of the list. */

import { useComputed } from "@preact/signals";
import { halfMinute } from "../ui/clock";
import { MoreIcon } from "../ui/icons";
import { ownerLabel } from "../lease/lease_view";
import { MarkChips } from "../notify/mark_chips";
import type { Session } from "../api/protocol";
import { store } from "../state";
import { plainText } from "../ui/plain_text";
import { agoText, sandboxLine, sessionName, statusText } from "../ui/words";
import { commandText } from "./command";
import { shortFolder } from "./folder";
import { asksForPassword, labelText } from "./order";
import { openRowMenu } from "./row_menu";
import { Thumbnail } from "./thumbnail";

const FOLDER_CHARS = { beside: 21, alone: 34 } as const;
const LABELS_SHOWN = 3;

export function SessionItem({ session }: { session: Session }) {
  const { id } = session;
  const selected = useComputed(() => store.selected.value === id).value;
  const detail = useComputed(() => store.details.value.get(id)).value;
  const tabIndex = useComputed(() => store.desk.tabRow.value === id).value ? 0 : -1;
  const onScreen = useComputed(() => store.desk.onScreen.value.has(id)).value;
  const pictures = store.desk.preferences.value.pictures;
  const mayChange = store.mayChange.value;
  const name = sessionName(session);
  const told = session.terminal_title && plainText(session.terminal_title);
  const command = plainText(commandText(detail?.foreground?.command ?? session.command.join(" ")));
  const { cwd } = detail ?? {};
  return (
    <li data-row={id}>
      <button
        type="button"
        class="session-item"
        data-testid="session-item"
        data-session-id={id}
        data-status={session.status}
        data-pictures={pictures}
        tabIndex={tabIndex}
        aria-current={selected ? "true" : undefined}
        aria-keyshortcuts={mayChange ? "F2 Delete" : undefined}
        onClick={() => store.select(id)}
      >
        {pictures && <Thumbnail id={id} shown={onScreen} />}
        <span class="row session-head">
          <span class="session-name" title={name}>{name}</span>
          <span class="muted ago">{agoText(session.last_activity_at, halfMinute.value)}</span>
        </span>
        <span class="session-subtitle mono" data-testid="row-command" title={told ? `${command} (${told})` : command}>{command}</span>
        <span class="session-subtitle" data-testid="row-cwd" title={cwd ? plainText(cwd) : undefined}>{cwd ? plainText(shortFolder(cwd, pictures ? FOLDER_CHARS.beside : FOLDER_CHARS.alone)) : told ?? "\u00a0"}</span>
        <Facts session={session} selected={selected} />
        <Labels labels={session.labels} />
        <MarkChips id={id} password={detail !== undefined && asksForPassword(detail)} />
      </button>
      {mayChange && (
        <button
          type="button"
          class="icon-button row-menu-button"
          tabIndex={tabIndex}
          aria-label={`More for ${name}`}
          aria-haspopup="menu"
          title="More"
          data-testid="row-menu"
          onClick={(event) => openRowMenu(id, event.currentTarget)}
        >
          <MoreIcon />
        </button>
      )}
    </li>
  );
}

function Facts({ session, selected }: { session: Session; selected: boolean }) {
  const owner = session.lease;
  const mine = selected && owner?.owner === store.attachment.value?.clientId;
  const sandbox = sandboxLine(session);
  return (
    <span class="row session-facts">
      <span class={`status status-${session.parked ? "parked" : session.status} ${failed(session) ? "status-failed" : ""}`} data-testid="row-status">
        <span class="dot" aria-hidden="true" />
        <span>{statusText(session)}</span>
      </span>
      {owner && <span class="owner" data-testid="row-owner">{mine ? "You have control" : `${ownerLabel(owner)}${owner.expired ? " (away)" : ""}`}</span>}
      {sandbox && <span class="sandbox-hint" data-whole={sandbox.missing === null} title={sandbox.missing ? `${sandbox.missing} · ${sandbox.text}` : sandbox.text}>{sandbox.missing !== null && "⚠ "}{session.sandbox.profile}</span>}
      {session.client_count > 0 && <span class="muted attached" data-testid="row-attached">{session.client_count} attached</span>}
    </span>
  );
}

function failed({ status, exit }: Session): boolean {
  return status === "exited" && (typeof exit?.signal === "number" || (exit?.code ?? 0) !== 0);
}

function Labels({ labels }: { labels: Session["labels"] }) {
  const all = Object.entries(labels).map(([key, value]) => labelText(key, value));
  if (all.length === 0) return null;
  return (
    <span class="row row-chips" data-testid="row-labels" title={all.join(", ")}>
      {all.slice(0, LABELS_SHOWN).map((label) => <span key={label} class="row-chip">{label}</span>)}
      {all.length > LABELS_SHOWN && <span class="muted">+{all.length - LABELS_SHOWN}</span>}
    </span>
  );
}
