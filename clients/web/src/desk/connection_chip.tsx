/** The connection in words, always in sight. */

import { useComputed } from "@preact/signals";
import { second } from "../ui/clock";
import { connectionText } from "../stream/connection";
import { store } from "../state";
import "./connection_chip.css";

export function ConnectionChip() {
  const connection = store.connection.value;
  // The countdown redraws each second; everything else only when it changes.
  const counting = "retry_at" in connection && connection.retry_at !== null;
  const spoken = useComputed(() => connectionText(withoutCountdown(store.connection.value), 0));
  const { state } = connection;
  const text = connectionText(connection, counting ? second.value : 0);
  const attached = store.attachment.value !== null;
  const stopped = state === "offline" || state === "reconnecting";
  return (
    <div class="connection">
      <span class={`chip connection-${state}`} data-testid="connection-state" data-state={state}>
        <span class="dot" aria-hidden="true" />
        <span class="connection-text" title={text}>{text}</span>
        {connection.state === "live" && connection.rtt_ms !== null && (
          <span class="muted rtt" title="Time to the bridge and back">{roundTrip(connection.rtt_ms)}</span>
        )}
      </span>
      <span class="visually-hidden" role="status">{spoken}</span>
      {stopped && <button type="button" class="button small" onClick={() => store.retryNow()}>Try now</button>}
      {state === "replaced" && attached && (
        <button type="button" class="button small" onClick={() => store.continueAsNewClient()}>Continue here</button>
      )}
    </div>
  );
}

function roundTrip(ms: number): string {
  return ms < 1 ? "<1 ms" : `${Math.round(ms)} ms`;
}

function withoutCountdown<T extends typeof store.connection.value>(connection: T): T {
  return "retry_at" in connection ? { ...connection, retry_at: null } : connection;
}
