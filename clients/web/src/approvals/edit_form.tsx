/** A person makes something else of a request; what would be done instead stands below before it is sent. */

import { useComputed, useSignal } from "@preact/signals";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { Approval } from "../api/approvals";
import { messageOf } from "../api/requests";
import { draftOf, payloadWith, written, type Draft } from "./payload";
import { Diff } from "./shown_text";

interface EditProps {
  approval: Approval;
  draft: Draft;
  busy: boolean;
  onSend(payload: unknown): void;
  onClose(): void;
  /** The request, above it. */
  children: ComponentChildren;
}

const LABELS: Readonly<Record<Draft["kind"], string>> = { line: "The command to run instead", typed: "What to type instead", json: "The payload instead, as JSON" };

export function EditForm({ approval, draft, busy, onSend, onClose, children }: EditProps) {
  const text = useSignal(draft.text);
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  const made = useComputed(() => makeOf(draft, text.value, approval.payload));
  useLayoutEffect(() => {
    field.current?.focus();
    // Whole: on a phone the request above it leaves a line of it in sight.
    field.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const { payload, error } = made.value;
  const same = payload !== undefined && written(payload) === written(withoutShown(draft, approval.payload));
  const shownAfter = payload === undefined ? null : (draftOf({ action: approval.action ?? null, payload })?.text ?? null);
  return (
    <form class="approval-form" data-testid="edit-form" onSubmit={(event) => {
      event.preventDefault();
      if (payload !== undefined && !same && !busy) onSend(payload);
    }}>
      <div class="approval-scroll">
      {children}
      <label class="decision-field" for={id}>{LABELS[draft.kind]}</label>
      <textarea
        id={id}
        ref={field}
        class="mono"
        rows={draft.kind === "json" ? 12 : 4}
        spellcheck={false}
        autocapitalize="off"
        autocomplete="off"
        data-testid="edit-text"
        aria-invalid={error !== null}
        aria-describedby={`${id}-help`}
        value={text}
        onInput={(event) => (text.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          onClose();
        }}
      />
      {error !== null && <p class="message" role="alert">{error}</p>}
      {shownAfter !== null && !same && <Diff before={draft.text} after={shownAfter} label="What changes" testId="edit-diff" />}
      <p class="help" id={`${id}-help`}>
        {draft.kind === "typed" && <>Enter is <code>\r</code>, a byte <code>\x1b</code>, a backslash <code>\\</code>. </>}
        It is judged anew: what the policy forbids stays forbidden, and what is riskier asks for itself.
      </p>
      </div>
      <div class="approval-foot">
        <button type="button" class="button" data-testid="edit-cancel" onClick={onClose}>Back</button>
        <button type="submit" class="button primary" data-testid="edit-send" aria-disabled={payload === undefined || same || busy}>
          {busy ? "Sending…" : "Approve the change"}
        </button>
      </div>
    </form>
  );
}

function makeOf(draft: Draft, text: string, payload: unknown): { payload?: unknown; error: string | null } {
  try {
    return { payload: payloadWith({ ...draft, text }, payload), error: null };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** What the bridge adds for readers is not what is done. */
function withoutShown(draft: Draft, payload: unknown): unknown {
  return draft.kind === "typed" ? payloadWith(draft, payload) : payload;
}
