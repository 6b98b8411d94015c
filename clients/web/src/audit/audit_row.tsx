/** A row of the audit log; opened, all that it says and what its hash is made of. */

import { useEffect, useRef } from "preact/hooks";
import type { AuditRow } from "../api/protocol";
import { plainText, plainJson } from "../ui/plain_text";
import { store } from "../state";
import { second } from "../ui/clock";
import { clockText } from "../ui/words";
import { actionText, actorText, decisionOf, outcomeText } from "./words";

interface RowProps {
  row: AuditRow;
  broken: boolean;
  expanded: boolean;
  /** The name of the session it is about, if it is about one that is known. */
  subject: string | null;
}

export function AuditRowItem({ row, broken, expanded, subject }: RowProps) {
  const { audit } = store;
  const at = Date.parse(row.at);
  const about = subject ?? (row.subject ? shortId(plainText(row.subject)) : null);
  const item = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (broken) item.current?.scrollIntoView({ block: "center" });
  }, [broken]);
  return (
    <li ref={item} class="audit-item" data-testid="audit-row" data-seq={row.seq} data-action={row.action} data-broken={broken}>
      <button type="button" class="audit-row" aria-expanded={expanded} onClick={() => (audit.expanded.value = expanded ? null : row.seq)}>
        <span class="audit-line">
          <span class="audit-what">{actionText(row)}</span>
          <span class={`audit-outcome audit-${outcomeClass(row.outcome)}`}>{outcomeText(row)}</span>
        </span>
        <span class="audit-facts muted">
          <span class="audit-seq mono">{row.seq}</span>
          <time dateTime={row.at}>{Number.isNaN(at) ? row.at : clockText(at, second.peek())}</time>
          <bdi class="audit-who">{actorText(row)}</bdi>
          {about && <bdi class="audit-about">{about}</bdi>}
        </span>
        {broken && <strong class="audit-broken-words">The chain breaks at this row</strong>}
      </button>
      {expanded && <Details row={row} />}
    </li>
  );
}

/** In the place of a row that is not there. */
export function MissingRow({ seq }: { seq: number }) {
  const item = useRef<HTMLLIElement>(null);
  useEffect(() => item.current?.scrollIntoView({ block: "center" }), []);
  return (
    <li ref={item} class="audit-item audit-missing" data-testid="audit-row" data-seq={seq} data-broken="true">
      <strong class="audit-broken-words">Row {seq} is missing here</strong>
    </li>
  );
}

function Details({ row }: { row: AuditRow }) {
  const decision = decisionOf(row);
  const facts: [string, string | null | undefined][] = [
    ["When", `${new Date(row.at).toLocaleString()} (${row.at})`],
    ["Who", `${actorText(row)}, ${row.actor.id}`],
    ["What", row.action],
    ["Decision", decision],
    ["Outcome", row.code ? `${row.outcome} (${row.code})` : row.outcome],
    ["Subject", row.subject],
    ["Hash", row.hash],
    ["The one before", row.prev_hash],
  ];
  return (
    <div class="audit-details" data-testid="audit-details">
      <dl>
        {facts.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd class="mono">{plainText(value)}</dd></div>)}
      </dl>
      <pre class="mono" tabIndex={0} role="region" aria-label="Details as JSON">{plainJson(row.details)}</pre>
    </div>
  );
}

/** Enough of an id to tell things apart; the whole of it is in the details. */
function shortId(id: string): string {
  const [, kind, number] = /^([a-z]{3})_([0-9a-f]{12,})$/.exec(id) ?? [];
  return kind && number ? `${kind} …${number.slice(-6)}` : id;
}

function outcomeClass(outcome: string): string {
  return outcome === "allowed" ? "good" : outcome === "denied" ? "bad" : "warn";
}
