/** Starting a session: at once with a login shell, or with a name, a command and a folder. */

import { useSignal } from "@preact/signals";
import { Dialog } from "../ui/dialog";
import { MoreIcon, PlusIcon } from "../ui/icons";
import { store } from "../state";
import type { CreateTerminal } from "../api/protocol";

export function NewSession() {
  const choosing = useSignal(false);
  const busy = useSignal(false);
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
        onClick={() => (choosing.value = true)}
      >
        <MoreIcon />
      </button>
      {choosing.value && <OptionsDialog onClose={() => (choosing.value = false)} />}
    </div>
  );
}

function OptionsDialog({ onClose }: { onClose(): void }) {
  const title = useSignal("");
  const command = useSignal("");
  const cwd = useSignal("");
  const problem = useSignal<string | null>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    problem.value = await store.create(requestFrom(title.value, command.value, cwd.value));
    if (!problem.value) onClose();
  };
  return (
    <Dialog title="New session" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        {problem.value && <p class="message" role="alert">{problem}</p>}
        <label class="field">
          <span>Name</span>
          <input value={title} placeholder="Optional" onInput={(event) => (title.value = event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>Command</span>
          <input class="mono" value={command} placeholder="Your login shell" spellcheck={false} onInput={(event) => (command.value = event.currentTarget.value)} />
          <span class="help">Run by <code>sh -c</code>; the session ends with it.</span>
        </label>
        <label class="field">
          <span>Folder</span>
          <input class="mono" value={cwd} placeholder="Your home folder" spellcheck={false} onInput={(event) => (cwd.value = event.currentTarget.value)} />
        </label>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button primary">Start</button>
        </div>
      </form>
    </Dialog>
  );
}

function requestFrom(title: string, command: string, cwd: string): CreateTerminal {
  const request: CreateTerminal = {};
  if (title.trim()) request.title = title.trim();
  if (command.trim()) request.command = ["sh", "-c", command];
  if (cwd.trim()) request.cwd = cwd.trim();
  return request;
}
