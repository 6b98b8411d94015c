/** One request, whole: the only place where it can be decided. */

import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { Approval } from "../api/approvals";
import { store } from "../state";
import { halfMinute } from "../ui/clock";
import { BackIcon } from "../ui/icons";
import { agoText, sessionName } from "../ui/words";
import { Countdown, Said } from "./countdown";
import { DecisionForm } from "./decision";
import { DeedView } from "./deed_view";
import { useKeptFocus } from "./kept_focus";
import { Outcome } from "./outcome";
import { Spelled } from "../ui/spelled";
import { Successor, WhatChanged } from "./succession";
import { asksTo, RISKS, STATUS } from "./words";

export function ApprovalDetail({ id }: { id: string }) {
  const approval = store.inbox.byId(id);
  const heading = useRef<HTMLHeadingElement>(null);
  const isThere = approval !== null;
  useKeptFocus();
  useEffect(() => {
    store.inbox.want(id);
    // After the panel, which takes the focus when it opens. Never a button: nobody decides by a key meant for something else.
    const frame = requestAnimationFrame(() => heading.current?.focus({ preventScroll: true }));
    return () => cancelAnimationFrame(frame);
  }, [id, isThere]);
  if (!approval) return <Frame id={id}><div class="approval-scroll"><p class="empty">This request is read, or is no longer there.</p></div></Frame>;
  const failure = store.inbox.failures.value.get(id);
  const whole = (
    <>
      <h3 ref={heading} tabIndex={-1} class="approval-title" data-testid="approval-title">
        <Spelled text={approval.requested_by_name} /> asks to {asksTo(approval)}
      </h3>
      <Facts approval={approval} />
      {failure && !isTold(failure.code, approval) && <p class="message" role="alert" data-testid="decision-failure">{failure.text}</p>}
      {approval.status !== "pending" && <Outcome approval={approval} />}
      <Successor approval={approval} />
      <WhatChanged approval={approval} />
      <DeedView approval={approval} />
      <Reason approval={approval} />
      <Where approval={approval} />
    </>
  );
  return (
    <Frame id={id}>
      <Said approval={approval} />
      {approval.status === "pending" && mayDecide()
        ? <DecisionForm key={approval.context_hash} approval={approval}>{whole}</DecisionForm>
        : <Settled approval={approval}>{whole}</Settled>}
    </Frame>
  );
}

/** What became of the request says it better. */
function isTold(code: string, { status }: Approval): boolean {
  return code === "context_changed" && status === "void";
}

function Frame({ id, children }: { id: string; children: ComponentChildren }) {
  const waiting = store.inbox.pending.value;
  const toList = (): void => void (store.inbox.shown.value = null);
  return (
    <section
      class="approval-detail"
      aria-label="Request"
      data-approval-detail={id}
      data-testid="approval-detail"
      data-status={store.inbox.byId(id)?.status}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        event.preventDefault();
        toList();
      }}
    >
      <div class="approval-bar">
        <button type="button" class="button small quiet" data-testid="approval-back" onClick={toList}><BackIcon /> All requests</button>
        <span class="muted">{waiting.length === 0 ? "None waits" : `${waiting.length} waiting`}</span>
      </div>
      {children}
    </section>
  );
}

function Settled({ approval, children }: { approval: Approval; children: ComponentChildren }) {
  const next = store.inbox.pending.value.find(({ id }) => id !== approval.id);
  return (
    <>
      <div class="approval-scroll">
        {children}
        {approval.status === "pending" && <p class="deed-note" data-testid="may-not-decide">You may read this and not decide it: your sign-in is a viewer's. An owner or a collaborator can.</p>}
      </div>
      <div class="approval-foot">
        {next && <button type="button" class="button" data-testid="next-request" onClick={() => (store.inbox.shown.value = next.id)}>Next request</button>}
      </div>
    </>
  );
}

function Facts({ approval }: { approval: Approval }) {
  const { risk_level, risk_tags, status } = approval;
  return (
    <p class="approval-facts">
      <span class={`risk risk-${risk_level}`} data-testid="risk">{RISKS[risk_level]}</span>
      {risk_tags.map((tag) => <span key={tag} class="tag"><Spelled text={tag} /></span>)}
      {status === "pending" ? <Countdown approval={approval} /> : <span class="muted">{STATUS[status]}</span>}
    </p>
  );
}

function Reason({ approval }: { approval: Approval }) {
  const reasons = [...new Set([approval.reason, ...approval.proposed_actions])];
  return (
    <div class="approval-why">
      <h4>Why a person is asked</h4>
      <ul>{reasons.map((reason) => <li key={reason}><Spelled text={reason} /></li>)}</ul>
      {approval.rule_ids.length > 0 && (
        <p class="muted">By {approval.rule_ids.length === 1 ? "the rule" : "the rules"} {approval.rule_ids.map((rule) => <code key={rule}><Spelled text={rule} /></code>)}</p>
      )}
    </div>
  );
}

function Where({ approval }: { approval: Approval }) {
  const session = store.sessions.value?.find(({ id }) => id === approval.session_id);
  return (
    <p class="approval-where muted">
      Asked {agoText(approval.created_at, halfMinute.value)}
      {approval.session_id && <> in <SessionLink id={approval.session_id} name={session ? sessionName(session) : "a session that is gone"} isThere={session !== undefined} /></>}
    </p>
  );
}

function SessionLink({ id, name, isThere }: { id: string; name: string; isThere: boolean }) {
  if (!isThere) return <>{name}</>;
  return <button type="button" class="link-button" data-testid="approval-session" onClick={() => goTo(id)}><Spelled text={name} /></button>;
}

/** On a small screen the panel covers the session. */
export function goTo(session: string): void {
  store.select(session);
  if (matchMedia("(width <= 1100px)").matches) store.panel.value = null;
}

export function mayDecide(): boolean {
  const { value } = store.signIn;
  return value.state === "in" && (value.principal.role === "owner" || value.principal.role === "collaborator");
}

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("textarea, input:not([type='radio'], [type='checkbox'])") !== null;
}

/** `j` and `k` go on to the next that waits, and back. */
export function showBeside(id: string, key: string): void {
  const step = key === "j" ? 1 : key === "k" ? -1 : 0;
  if (step === 0) return;
  const waiting = store.inbox.pending.peek();
  const here = waiting.findIndex((approval) => approval.id === id);
  const next = here === -1 ? waiting[0] : waiting[here + step];
  if (next) store.inbox.shown.value = next.id;
}
