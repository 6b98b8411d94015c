/** What is asked before something is done with a session: from its row, by a key, or from the palette. */

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { TakeDialog } from "../lease/take";
import type { Session } from "../api/protocol";
import { messageOf } from "../api/requests";
import { CloseIcon } from "../ui/icons";
import { Confirm, Dialog } from "../ui/dialog";
import { plainLine } from "../ui/plain_text";
import { sessionName } from "../ui/words";
import { store } from "../state";
import { labelsFrom } from "./create_request";
import { NewSessionDialog } from "./new_session";
import { labelText } from "./order";

const NAME_CHARS = 80;

export function SessionQuestions() {
  const { question } = store.desk;
  const asked = question.value;
  const session = asked && "id" in asked ? store.sessions.value?.find(({ id }) => id === asked.id) : undefined;
  if (asked === null) return null;
  const close = (): void => void (question.value = null);
  if (asked.ask === "new") return <NewSessionDialog key={asked} onClose={close} />;
  if (!session) return null;
  const name = plainLine(sessionName(session), NAME_CHARS);
  // Each question is its own dialog: the end of the one before, told late, is not the end of this one.
  switch (asked.ask) {
    case "rename":
      return <RenameDialog key={asked} session={session} onClose={close} />;
    case "labels":
      return <LabelsDialog key={asked} session={session} onClose={close} />;
    case "take":
      return store.attachment.value && <TakeDialog key={asked} attachment={store.attachment.value} onClose={close} />;
    case "close":
      return (
        <Confirm
          key={asked}
          title={`Close “${name}”?`}
          text="This ends everything running in it, for everybody who is attached. Leaving the page does not: then it runs on."
          action="Close session"
          danger
          onConfirm={() => void store.run(() => store.client.close(session.id, "from the page"))}
          onClose={close}
        />
      );
    case "forget":
      return (
        <Confirm
          key={asked}
          title={`Remove “${name}”?`}
          text="It has ended. Its recording goes with it, for everybody, and does not come back."
          action="Remove"
          danger
          onConfirm={() => void store.forget(session.id)}
          onClose={close}
        />
      );
  }
}

function RenameDialog({ session, onClose }: { session: Session; onClose(): void }) {
  const title = useSignal(session.title);
  const problem = useSignal<string | null>(null);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => input.current?.select(), []);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wanted = title.value.trim();
    if (wanted === "" || wanted === session.title) return onClose();
    problem.value = await attempt(() => store.client.rename(session.id, wanted));
    if (!problem.value) onClose();
  };
  return (
    <Dialog title="Rename the session" onClose={onClose}>
      <form onSubmit={(event) => void save(event)}>
        {problem.value && <p class="message" role="alert" data-testid="rename-problem">{problem}</p>}
        <label class="field">
          <span>Name</span>
          <input ref={input} value={title} autocomplete="off" data-testid="rename-input" onInput={(event) => (title.value = event.currentTarget.value)} />
        </label>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button primary">Rename</button>
        </div>
      </form>
    </Dialog>
  );
}

function LabelsDialog({ session, onClose }: { session: Session; onClose(): void }) {
  const typed = useSignal("");
  const problem = useSignal<string | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const entries = Object.entries(session.labels);
  const set = async (labels: Record<string, string>): Promise<boolean> => {
    problem.value = await attempt(() => store.client.rows.setLabels(session.id, labels));
    // What is shown is what holds.
    if (!problem.value) await store.readRow(session.id);
    return problem.value === null;
  };
  const add = async (event: Event): Promise<void> => {
    event.preventDefault();
    const more = labelsFrom(typed.value);
    if (typeof more === "string") return void (problem.value = more);
    if (Object.keys(more).length === 0) return onClose();
    if (await set({ ...session.labels, ...more })) typed.value = "";
  };
  const remove = async (key: string): Promise<void> => {
    await set(Object.fromEntries(entries.filter(([known]) => known !== key)));
    input.current?.focus();
  };
  return (
    <Dialog title={`Labels of “${plainLine(sessionName(session), NAME_CHARS)}”`} onClose={onClose}>
      <form onSubmit={(event) => void add(event)}>
        {problem.value && <p class="message" role="alert">{problem}</p>}
        {entries.length === 0 && <p class="muted">None yet. Labels tell sessions apart, and the filter finds them.</p>}
        <ul class="label-list" aria-label="Labels">
          {entries.map(([key, value]) => (
            <li key={key} class="row-chip">
              <span>{plainLine(labelText(key, value), NAME_CHARS)}</span>
              <button type="button" class="icon-button" aria-label={`Remove ${plainLine(labelText(key, value), NAME_CHARS)}`} onClick={() => void remove(key)}><CloseIcon /></button>
            </li>
          ))}
        </ul>
        <label class="field">
          <span>New labels</span>
          <input ref={input} value={typed} placeholder="ticket=42, docs" autocomplete="off" spellcheck={false} data-testid="labels-input" onInput={(event) => (typed.value = event.currentTarget.value)} />
        </label>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>Done</button>
          <button type="submit" class="button primary">Add</button>
        </div>
      </form>
    </Dialog>
  );
}

/** What went wrong, if something did. */
async function attempt(act: () => Promise<void>): Promise<string | null> {
  try {
    await act();
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
