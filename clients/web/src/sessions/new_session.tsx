/** Starting a session: at once with a login shell, or with a name, a command and a folder. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Dialog } from "../ui/dialog";
import { MoreIcon, PlusIcon } from "../ui/icons";
import { store } from "../state";
import { EMPTY_FORM, LIMIT_NAMES, LIMITS, requestFrom, type NewSessionForm } from "./create_request";

export function NewSession() {
  const busy = useSignal(false);
  if (!store.mayChange.value) return null;
  const start = async (): Promise<void> => {
    if (busy.value) return;
    busy.value = true;
    const problem = await store.create({});
    busy.value = false;
    if (problem) store.notify(problem, "error");
  };
  return (
    <div class="new-session">
      <button type="button" class="button primary" data-testid="new-session" disabled={busy} onClick={() => void start()}>
        <PlusIcon /> New session
      </button>
      <button
        type="button"
        class="button icon-button"
        aria-label="New session with options"
        title="New session with options"
        data-testid="new-session-options"
        onClick={() => (store.desk.question.value = { ask: "new" })}
      >
        <MoreIcon />
      </button>
    </div>
  );
}

export function NewSessionDialog({ onClose }: { onClose(): void }) {
  const form = useSignal<NewSessionForm>(EMPTY_FORM);
  const problem = useSignal<string | null>(null);
  const busy = useSignal(false);
  const change = (part: Partial<NewSessionForm>): void => void (form.value = { ...form.value, ...part });
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy.value) return;
    const request = requestFrom(form.value);
    if (typeof request === "string") return void (problem.value = request);
    busy.value = true;
    problem.value = await store.create(request);
    busy.value = false;
    if (problem.value) return;
    onClose();
    // Whoever starts a session types into it next.
    setTimeout(() => store.attachment.peek()?.focus());
  };
  const { title, command, cwd, sandbox, hosts, labels, limits } = form.value;
  return (
    <Dialog title="New session" onClose={onClose}>
      <form class="new-session-form" onSubmit={(event) => void submit(event)}>
        {problem.value && <p class="message" role="alert" data-testid="create-problem">{problem}</p>}
        <Field label="Name" value={title} placeholder="Optional" onText={(text) => change({ title: text })} />
        <Field label="Command" mono value={command} placeholder="Your login shell" onText={(text) => change({ command: text })}>
          Run by <code>sh -c</code>; the session ends with it.
        </Field>
        <Field label="Folder" mono value={cwd} placeholder="Your home folder" onText={(text) => change({ cwd: text })} />
        <Field label="Labels" value={labels} placeholder="ticket=42, docs" onText={(text) => change({ labels: text })} />
        <details class="more-options">
          <summary>Confinement and limits</summary>
          <label class="field">
            <span>Confinement</span>
            <select value={sandbox} data-testid="create-sandbox" onChange={(event) => change({ sandbox: event.currentTarget.value as NewSessionForm["sandbox"] })}>
              <option value="">None: all that you may do</option>
              <option value="workspace">Workspace: writes only in its folder</option>
              <option value="locked">Locked: its folder and the system, no network</option>
            </select>
          </label>
          {sandbox !== "" && cwd.trim() === "" && <p class="help">Without a folder above it may write nowhere but in files of its own.</p>}
          {sandbox === "workspace" && (
            <Field label="Hosts it may reach" mono value={hosts} placeholder="None" onText={(text) => change({ hosts: text })} />
          )}
          <div class="limit-fields">
            {LIMIT_NAMES.map((name) => (
              <Field key={name} label={LIMITS[name].label} numeric value={limits[name]} placeholder="No limit" onText={(text) => change({ limits: { ...limits, [name]: text } })} />
            ))}
          </div>
        </details>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button primary" disabled={busy.value}>Start</button>
        </div>
      </form>
    </Dialog>
  );
}

interface FieldProps {
  label: string;
  value: string;
  placeholder: string;
  mono?: boolean;
  numeric?: boolean;
  onText(text: string): void;
  children?: ComponentChildren;
}

function Field({ label, value, placeholder, mono = false, numeric = false, onText, children }: FieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <input class={mono ? "mono" : undefined} value={value} placeholder={placeholder} inputMode={numeric ? "numeric" : undefined} spellcheck={false} autocomplete="off" onInput={(event) => onText(event.currentTarget.value)} />
      {children && <span class="help">{children}</span>}
    </label>
  );
}
