/** What happens to everything this person may see, beside the terminal and apart from it. */

import { useLayoutEffect } from "preact/hooks";
import { copyText } from "../clipboard/copy";
import { store } from "../state";
import { saveFile } from "../ui/download";
import { DownloadIcon, PauseIcon, PlayIcon } from "../ui/icons";
import { bytesText } from "../ui/words";
import { isNarrowed, EVERYTHING } from "./filter";
import { LogFilters } from "./log_filters";
import { LogList } from "./log_list";
import type { FeedState } from "./log_feed";
import "./logs.css";

/** What a clipboard is trusted with. */
const COPY_CHARS_MAX = 8 * 1024 * 1024;

const STATES: Readonly<Record<FeedState, string>> = {
  closed: "Not connected",
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting… nothing is lost meanwhile",
  signed_out: "Signed out",
  refused: "Not allowed: this login may not observe",
};

export function LogsPanel() {
  // With the panel, not a frame after it: an effect that waits for the next frame would hear on in a panel that is closed.
  useLayoutEffect(() => {
    store.logs.open();
    return () => store.logs.close();
  }, []);
  return (
    <div class="logs" data-testid="logs">
      <LogFilters />
      <LogBar />
      <LogList />
    </div>
  );
}

function LogBar() {
  const { logs } = store;
  const rows = logs.rows;
  const paused = logs.paused.value;
  const state = logs.state.value;
  const error = logs.error.value;
  const count = rows.length === logs.held ? `${rows.length.toLocaleString()} events` : `${rows.length.toLocaleString()} of ${logs.held.toLocaleString()} events`;
  return (
    <div class="log-bar">
      <span class="log-state" data-testid="logs-state" data-state={paused ? "paused" : state}>
        <span class={`dot log-dot-${paused ? "paused" : state}`} aria-hidden="true" />
        <span role="status">{paused ? "Paused" : STATES[state]}</span>
      </span>
      <span class="muted log-count" data-testid="logs-count" data-held={logs.held} data-shown={rows.length}>{count}</span>
      {isNarrowed(logs.filter.value) && (
        <button type="button" class="button small quiet" data-testid="logs-everything" onClick={() => (logs.filter.value = EVERYTHING)}>Show all</button>
      )}
      <span class="log-bar-gap" />
      <button type="button" class="icon-button" aria-label={paused ? "Go on" : "Pause"} title={paused ? "Go on" : "Pause: the list stands still, events are still gathered"} aria-pressed={paused} data-testid="logs-pause" onClick={() => logs.pause(!paused)}>
        {paused ? <PlayIcon /> : <PauseIcon />}
      </button>
      <button type="button" class="button small" disabled={rows.length === 0} title="Copy what is shown as JSON lines" data-testid="logs-copy" onClick={() => void copyLines()}>Copy</button>
      <button type="button" class="icon-button" aria-label="Save what is shown as JSON lines" title="Save what is shown as JSON lines" disabled={rows.length === 0} data-testid="logs-save" onClick={saveLines}><DownloadIcon /></button>
      {error && <p class="message log-error" role="alert">{error}</p>}
    </div>
  );
}

async function copyLines(): Promise<void> {
  const text = `${store.logs.lines().join("\n")}\n`;
  if (text.length > COPY_CHARS_MAX) return store.notify(`This is more than a clipboard takes well (${bytesText(text.length)}): save it as a file, or narrow the filter.`, "warn");
  if (await copyText(text)) store.notify(`Copied ${store.logs.lines().length.toLocaleString()} events as JSON lines.`, "info");
  else store.notify("The browser does not let this page copy: save the events as a file instead.", "error");
}

function saveLines(): void {
  const lines = store.logs.lines().map((line) => `${line}\n`);
  saveFile(new Blob(lines, { type: "application/x-ndjson" }), `baton-events-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.jsonl`);
}
