/** A person's yes, no, or something else: quoting what the screen shows, and never by accident. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect } from "preact/hooks";
import type { Approval, DecisionRequest } from "../api/approvals";
import { store } from "../state";
import { useArmed } from "./armed";
import { EditForm } from "./edit_form";
import { useKeptFocus } from "./kept_focus";
import { draftOf } from "./payload";
import { Spelled } from "../ui/spelled";

const NOTES_CHARS_MAX = 1_000;

/** `children` is the request itself: it scrolls, and the buttons below it stay where they are. */
export function DecisionForm({ approval, children }: { approval: Approval; children: ComponentChildren }) {
  const notes = useSignal("");
  const remember = useSignal<"once" | "session">("once");
  const editing = useSignal(false);
  const notesId = useId();
  // One element of this for each request: what it says is about this hash alone.
  const armed = useArmed(approval.context_hash);
  const deciding = store.inbox.deciding.value.get(approval.id);
  const draft = draftOf(approval);
  const said = (): Pick<DecisionRequest, "notes"> => (notes.peek().trim() === "" ? {} : { notes: notes.peek() });
  const approve = (): void => {
    if (!armed.peek() || editing.peek()) return;
    void store.inbox.decide(approval, { decision: "approve", remember: remember.peek(), ...said() });
  };
  const deny = (): void => {
    if (!armed.peek() || editing.peek()) return;
    void store.inbox.decide(approval, { decision: "deny", ...said() });
  };
  useDecisionKeys(approve, deny);
  useKeptFocus();
  if (editing.value && draft) {
    return (
      <EditForm
        approval={approval}
        draft={draft}
        busy={deciding !== undefined}
        onSend={(payload) => void store.inbox.decide(approval, { decision: "edit", edited_payload: payload, ...said() })}
        onClose={() => (editing.value = false)}
      >
        {children}
      </EditForm>
    );
  }
  const idle = armed.value && deciding === undefined;
  return (
    <>
      <div class="approval-scroll">
      {children}
      {approval.remember_rule && (
        <fieldset class="remember">
          <legend>A yes counts</legend>
          <label><input type="radio" name="remember" checked={remember.value === "once"} onChange={() => (remember.value = "once")} /> once</label>
          <label><input type="radio" name="remember" data-testid="remember-session" checked={remember.value === "session"} onChange={() => (remember.value = "session")} /> from now on in this session</label>
          {remember.value === "session" && <p class="help" data-testid="remember-rule">The rule: <Spelled text={approval.remember_rule} />.</p>}
        </fieldset>
      )}
      <label class="decision-field" for={notesId}>Notes for <Spelled text={approval.requested_by_name} /> <span class="muted">(optional)</span></label>
      <textarea id={notesId} rows={2} maxLength={NOTES_CHARS_MAX} data-testid="decision-notes" value={notes} onInput={(event) => (notes.value = event.currentTarget.value)} />
      </div>
      <div class="approval-foot">
        <button type="button" class="button deny" data-testid="deny" aria-disabled={!idle} aria-keyshortcuts="Control+Backspace" title="Ctrl+Backspace" onClick={() => idle && deny()}>
          {deciding === "deny" ? "Denying…" : "Deny"}
        </button>
        {draft && (
          <button type="button" class="button" data-testid="edit" aria-disabled={!idle} onClick={() => idle && (editing.value = true)}>Edit…</button>
        )}
        <button type="button" class="button primary" data-testid="approve" aria-disabled={!idle} aria-keyshortcuts="Control+Enter" title="Ctrl+Enter" onClick={() => idle && approve()}>
          {deciding === "approve" ? "Approving…" : "Approve"}
        </button>
      </div>
    </>
  );
}

/** Ctrl+Enter and Ctrl+Backspace, with the focus on the request and in none of its text fields, where they are the field's own. */
function useDecisionKeys(approve: () => void, deny: () => void): void {
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const { target } = event;
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.repeat || event.defaultPrevented) return;
      if (!(target instanceof HTMLElement) || !target.closest("[data-approval-detail]") || target.closest("textarea")) return;
      if (event.key === "Enter") approve();
      else if (event.key === "Backspace") deny();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}
