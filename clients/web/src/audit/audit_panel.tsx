/** Who did what, when, to what, and whether it was allowed; and whether the log is as it was written. */

import { useEffect } from "preact/hooks";
import { store } from "../state";
import { sessionName } from "../ui/words";
import { ACTIONS } from "./words";
import { EVERYTHING, withMissing } from "./audit";
import { AuditRowItem, MissingRow } from "./audit_row";
import { VerifyBar } from "./verify_bar";
import { plainText } from "../ui/plain_text";
import "./audit.css";

const SESSIONS_MAX = 200;

export function AuditPanel() {
  const { audit } = store;
  useEffect(() => {
    if (audit.rows.peek() === null || !audit.hasNewer.peek()) audit.newest();
  }, []);
  if (audit.refused.value !== null) {
    return (
      <div class="audit-refused" data-testid="audit-refused" role="alert">
        <p><strong>You may not read the audit log.</strong></p>
        <p>It tells what everybody did, so it is for an owner whose token is limited to no workspace. {sentence(audit.refused.value)}</p>
        <p class="muted">Sign in with the owner's token, or ask whoever has it.</p>
      </div>
    );
  }
  return (
    <div class="audit" data-testid="audit">
      <VerifyBar />
      <Filters />
      <Rows />
      <Pages />
    </div>
  );
}

function Filters() {
  const { audit } = store;
  const { action, actor, session } = audit.filter.value;
  const sessions = (store.sessions.value ?? []).slice(0, SESSIONS_MAX);
  const known = session === null || sessions.some(({ id }) => id === session);
  const narrowed = action !== null || actor !== null || session !== null;
  return (
    <div class="audit-filters" role="group" aria-label="Filter">
      <select class="button" aria-label="Action" data-testid="audit-action" value={action ?? ""} onChange={(event) => audit.choose({ action: event.currentTarget.value || null })}>
        <option value="">Every action</option>
        {Object.entries(ACTIONS).map(([name, words]) => <option key={name} value={name}>{words}</option>)}
      </select>
      <select class="button" aria-label="Who" data-testid="audit-actor" value={actor ?? ""} onChange={(event) => audit.choose({ actor: event.currentTarget.value || null })}>
        <option value="">Everybody</option>
        {[...audit.actors.value].map(([id, name]) => <option key={id} value={id}>{plainText(name)}</option>)}
      </select>
      <select class="button" aria-label="Session" data-testid="audit-session" value={session ?? ""} onChange={(event) => audit.choose({ session: event.currentTarget.value || null })}>
        <option value="">Every session</option>
        {!known && <option value={session}>Session …{session.slice(-6)}</option>}
        {sessions.map((row) => <option key={row.id} value={row.id}>{sessionName(row)}</option>)}
      </select>
      {narrowed && <button type="button" class="button small quiet" data-testid="audit-everything" onClick={() => audit.choose(EVERYTHING)}>Show all</button>}
    </div>
  );
}

function Rows() {
  const { audit } = store;
  const rows = audit.rows.value;
  const broken = audit.broken;
  const error = audit.error.value;
  const names = new Map((store.sessions.value ?? []).map((session) => [session.id, sessionName(session)]));
  return (
    <div class="audit-scroll" aria-busy={audit.loading.value} tabIndex={-1}>
      {error && <p class="message" role="alert">{error}</p>}
      {rows?.length === 0 && <p class="empty">No row is like this.</p>}
      <ol class="audit-rows" aria-label="Rows, the newest first">
        {withMissing(rows ?? [], broken).map((row) => ("missing" in row
          ? <MissingRow key={row.missing} seq={row.missing} />
          : <AuditRowItem key={row.seq} row={row} broken={row.seq === broken} expanded={audit.expanded.value === row.seq} subject={row.subject ? (names.get(row.subject) ?? null) : null} />))}
      </ol>
    </div>
  );
}

function Pages() {
  const { audit } = store;
  const rows = audit.rows.value ?? [];
  const [first, last] = [rows[0]?.seq, rows.at(-1)?.seq];
  return (
    <div class="audit-pages">
      <button type="button" class="button small" title="The newest rows, read anew" data-testid="audit-newest" onClick={() => audit.newest()}>Newest</button>
      <button type="button" class="button small" disabled={!audit.hasNewer.value} data-testid="audit-newer" onClick={() => audit.newer()}>Newer</button>
      <span class="muted audit-place" role="status" data-testid="audit-place">{first === undefined || last === undefined ? "" : `Rows ${last} to ${first}`}</span>
      <button type="button" class="button small" disabled={!audit.hasOlder.value} data-testid="audit-older" onClick={() => audit.older()}>Older</button>
    </div>
  );
}

function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
