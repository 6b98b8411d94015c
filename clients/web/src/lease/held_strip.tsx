/** An agent's input in this session, held: read it, then let it through or not. And the switch for it. */

import { useEffect } from "preact/hooks";
import type { Session } from "../api/protocol";
import { store } from "../state";
import { plainName } from "./names";
import { previewOf } from "./held_input";

export function HeldInputStrip({ session }: { session: Session }) {
  const { heldInput } = store;
  const held = session.agent_input === "held" && mayDecide();
  useEffect(() => {
    heldInput.watch(held ? session.id : null);
    return () => heldInput.watch(null);
  }, [held, session.id]);
  useEffect(() => store.follow({
    event: ({ scope }) => {
      if (scope === "approval") void heldInput.refresh();
    },
    missed: () => void heldInput.refresh(),
  }), []);
  const waiting = heldInput.waiting.value;
  const [first] = waiting;
  if (!held || !first) return null;
  const { text, whole } = previewOf(first);
  const busy = heldInput.deciding.value !== null;
  const decide = (decision: "approve" | "deny") => (): void => void store.run(() => heldInput.decide(first, decision));
  const what = first.action === "terminal.exec" ? "run" : "type";
  return (
    <div class="strip held-input" role="group" aria-label="An agent's input waits for you" data-testid="held-input" key={first.id}>
      <span role="status"><strong>{plainName(first.requested_by_name)} · agent</strong> wants to {what}{waiting.length > 1 && ` (and ${waiting.length - 1} more after it)`}:</span>
      <pre class="mono held-preview" data-testid="held-preview" tabIndex={0} aria-label={`What it wants to ${what}`}>{text}{!whole && "…"}</pre>
      <span class="strip-actions">
        <button type="button" class="button small primary" data-testid="held-release" disabled={busy || !whole} onClick={decide("approve")}>Release</button>
        <button type="button" class="button small" data-testid="held-discard" disabled={busy} onClick={decide("deny")}>Discard</button>
      </span>
      {!whole && <span class="help">Too long to read here. Open Approvals to see all of it.</span>}
    </div>
  );
}

/** In the session's menu: whether what agents type here waits for a person. */
export function AgentInputSwitch({ session, onDone }: { session: Session; onDone(): void }) {
  if (!mayDecide()) return null;
  const held = session.agent_input === "held";
  const toggle = (): void => {
    onDone();
    void store.run(() => store.client.handoff.holdAgentInput(session.id, !held));
  };
  return (
    <button type="button" class="button quiet" aria-pressed={held} data-testid="hold-agent-input" onClick={toggle}>
      {held ? "Let agents type at once" : "Hold what agents type"}
    </button>
  );
}

function mayDecide(): boolean {
  const { value } = store.signIn;
  return value.state === "in" && (value.principal.role === "owner" || value.principal.role === "collaborator");
}
