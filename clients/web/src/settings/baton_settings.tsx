/** What may change while Baton runs, for all its clients; the owner's. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { messageOf } from "../api/requests";
import { Dialog } from "../ui/dialog";
import type { AgentProgram, BatonSettings } from "../api/protocol";
import { store } from "../state";

export function BatonSettingsDialog({ onClose }: { onClose(): void }) {
  const now = useSignal<BatonSettings | null>(null);
  const problem = useSignal<string | null>(null);
  const busy = useSignal<string | null>(null);
  // Whoever changes them, here or elsewhere: what is shown is what holds.
  const { value: version } = store.settingsVersion;
  useEffect(() => {
    let stale = false;
    store.client.batonSettings().then(
      (settings) => {
        if (!stale) now.value = settings;
      },
      (error: unknown) => {
        if (!stale) problem.value = messageOf(error);
      },
    );
    return () => {
      stale = true;
    };
  }, [version]);

  const run = async (what: string, act: () => Promise<unknown>): Promise<void> => {
    if (busy.value) return;
    [busy.value, problem.value] = [what, null];
    try {
      await act();
      now.value = await store.client.batonSettings();
    } catch (error) {
      problem.value = messageOf(error);
    }
    busy.value = null;
  };
  const settings = now.value;
  return (
    <Dialog title="Baton's settings" onClose={onClose}>
      {problem.value && <p class="message" role="alert" data-testid="settings-problem">{problem.value}</p>}
      {settings?.refused && (
        <p class="message" role="alert">The configuration file is not valid; what was in force before holds. {settings.refused}</p>
      )}
      {settings ? <Body settings={settings} busy={busy.value} run={run} /> : !problem.value && <p class="muted">Reading…</p>}
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>Close</button>
      </div>
    </Dialog>
  );
}

interface BodyProps {
  settings: BatonSettings;
  /** What is under way. */
  busy: string | null;
  run(what: string, act: () => Promise<unknown>): Promise<void>;
}

function Body({ settings, busy, run }: BodyProps) {
  const { defaults, operational, revision } = settings;
  const { env, sessiond } = operational;
  const agents = Object.entries(operational.agents);
  return (
    <>
      <IdleTime key={defaults.terminal_idle_timeout} seconds={defaults.terminal_idle_timeout} busy={busy !== null} save={(seconds) =>
        run("idle", () => store.client.changeDefaults({ expected_revision: revision, terminal_idle_timeout: seconds }))} />
      <h3>Looking for a fault</h3>
      <Switch name="debug-overlay-switch" on={defaults.terminal_debug_overlay} busy={busy !== null} save={(on) =>
        run("overlay", () => store.client.changeDefaults({ expected_revision: revision, terminal_debug_overlay: on }))}
        help="In the owner's pages.">Show cursor, credit, epoch and latency over the terminal</Switch>
      <Switch name="protocol-log-switch" on={defaults.terminal_protocol_log} busy={busy !== null} save={(on) =>
        run("log", () => store.client.changeDefaults({ expected_revision: revision, terminal_protocol_log: on }))}
        help="A file a session in Baton's logs: when, whose, which kind and how large. Never what is typed or printed.">Log the frames of streams</Switch>
      <h3>Agents</h3>
      {agents.length === 0 && <p class="help">None found. <code>baton settings agent NAME --path PATH</code> says where one is.</p>}
      <ul class="settings-list">
        {agents.map(([name, program]) => (
          <li key={name} class="field-row">
            <span>
              <strong>{name}</strong> <span class="help mono">{program.path}</span>
              <br />
              <span class="help" data-testid={`agent-${name}`}>{stateOf(program)}</span>
            </span>
            <button type="button" class="button small" disabled={busy !== null} data-testid={`try-${name}`} onClick={() => void run(name, () => store.client.agentStatus(name))}>
              {busy === name ? "Trying…" : "Try"}
            </button>
          </li>
        ))}
      </ul>
      <h3>Environment</h3>
      <div class="field-row">
        <span class="help" data-testid="environment">
          {env.names.length} variables, {env.reloaded_at ? `read from your login shell ${new Date(env.reloaded_at).toLocaleString()}` : "as Baton was started"}
        </span>
        <button type="button" class="button small" disabled={busy !== null} data-testid="reload-environment" onClick={() => void run("env", () => store.client.reloadEnvironment())}>
          {busy === "env" ? "Reading…" : "Read again"}
        </button>
      </div>
      <h3>sessiond</h3>
      <div class="field-row">
        <span class="help" data-testid="sessiond">
          {sessiond.status === "up" ? `${sessiond.version ?? ""} runs as process ${sessiond.pid}` : "does not answer; its launcher starts it again"}
        </span>
        <button type="button" class="button small" disabled={busy !== null} data-testid="restart-sessiond" onClick={() => void run("sessiond", () => store.client.restartSessiond())}>
          {busy === "sessiond" ? "Restarting…" : "Restart"}
        </button>
      </div>
      <p class="help">No session notices a restart. How Baton listens and what confines sessions is changed in the file alone.</p>
    </>
  );
}

interface SwitchProps {
  name: string;
  on: boolean;
  busy: boolean;
  save(on: boolean): Promise<void>;
  help: string;
  children: ComponentChildren;
}

function Switch({ name, on, busy, save, help, children }: SwitchProps) {
  return (
    <label class="field-row check">
      <span>{children}<br /><span class="help">{help}</span></span>
      <input type="checkbox" checked={on} disabled={busy} data-testid={name} onChange={(event) => void save(event.currentTarget.checked)} />
    </label>
  );
}

interface IdleTimeProps {
  seconds: number;
  busy: boolean;
  save(seconds: number): Promise<void>;
}

/** Drawn anew when the value changes elsewhere: what was typed here and not saved gives way. */
function IdleTime({ seconds, busy, save }: IdleTimeProps) {
  const typed = useSignal(String(seconds));
  const submit = (event: Event): void => {
    event.preventDefault();
    void save(Number(typed.value));
  };
  return (
    <form class="field" onSubmit={submit}>
      <span id="idle-label">Seconds until an idle terminal closes: nothing printed, nothing typed, nobody attached</span>
      <span class="field-row">
        <input type="number" min="0" step="1" required aria-labelledby="idle-label" data-testid="idle-timeout" value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)} />
        <button type="submit" class="button small" data-testid="save-idle" disabled={busy || typed.value === String(seconds)}>Save</button>
      </span>
      <span class="help">0 is never. For terminals that are started from now on.</span>
    </form>
  );
}

function stateOf({ status, version, detail }: AgentProgram): string {
  switch (status) {
    case "ready":
      return version ?? "runs";
    case "found":
      return "not tried yet";
    case "not_found":
      return "not there";
    case "not_executable":
      return "no program (not executable)";
    case "failed":
      return `does not run: ${detail ?? ""}`;
  }
}
