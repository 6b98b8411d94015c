/** A request in whose place another asks: one press away, and what is different about it. */

import { useEffect } from "preact/hooks";
import type { Approval } from "../api/approvals";
import { store } from "../state";
import { boundChanges, changesBetween, UNSEEN_CHANGE } from "./changes";
import { Spelled } from "../ui/spelled";
import { Diff } from "./shown_text";

/** On the one that no longer counts. */
export function Successor({ approval }: { approval: Approval }) {
  const { superseded_by } = approval;
  useEffect(() => store.inbox.want(superseded_by), [superseded_by]);
  if (!superseded_by) return null;
  const next = store.inbox.byId(superseded_by);
  return (
    <div class="succession" data-testid="successor">
      {next && <Changes before={approval} after={next} />}
      <button type="button" class="button primary small" data-testid="show-successor" onClick={() => (store.inbox.shown.value = superseded_by)}>
        Look at it as it is now
      </button>
    </div>
  );
}

/** On the one that asks now. */
export function WhatChanged({ approval }: { approval: Approval }) {
  const { supersedes } = approval;
  useEffect(() => store.inbox.want(supersedes), [supersedes]);
  if (!supersedes) return null;
  const before = store.inbox.byId(supersedes);
  return (
    <div class="succession" data-testid="what-changed">
      <h4>It asks in the place of an earlier request</h4>
      {before ? <Changes before={before} after={approval} /> : <p class="muted">The earlier one is read, or is no longer there.</p>}
      <button type="button" class="button small quiet" onClick={() => (store.inbox.shown.value = supersedes)}>Show the earlier one</button>
    </div>
  );
}

function Changes({ before, after }: { before: Approval; after: Approval }) {
  const changes = changesBetween(before, after);
  const bound = boundChanges(before, after);
  if (changes.length + bound.length === 0) return <p data-testid="changes">{UNSEEN_CHANGE}</p>;
  return (
    <div class="changes" data-testid="changes">
      {bound.length > 0 && <ul>{bound.map((told) => <li key={told}><Spelled text={told} />.</li>)}</ul>}
      {changes.length > 0 && (
        <dl>
          {changes.map(({ what, before: old, after: now }) => (
            <div key={what}>
              <dt>{what}</dt>
              <dd><Diff before={old} after={now} label={`${what}: before and now`} testId="change" /></dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}
