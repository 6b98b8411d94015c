/**
 * Cursor, credit, epoch and latency over a terminal, while the setting
 * `terminal_debug_overlay` is on. Without it nothing here runs.
 */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Attachment } from "./attachment";
import { store } from "../state";
import { creditText, roundTripText } from "../stream/vitals";
import "./debug_overlay.css";

const LOOK_MS = 200;

export function DebugOverlay({ attachment }: { attachment: Attachment }) {
  return store.debugOverlay.value ? <Overlay attachment={attachment} /> : null;
}

function Overlay({ attachment }: { attachment: Attachment }) {
  const now = useSignal(attachment.vitals());
  useEffect(() => {
    const look = (): void => void (now.value = attachment.vitals());
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [attachment]);
  const { offset, unacked, epoch, round_trip } = now.value;
  const rows = [["cursor", String(offset)], ["credit", creditText(unacked)], ["epoch", String(epoch)], ["latency", roundTripText(round_trip)]] as const;
  // Numbers that change five times a second are nothing to be read aloud.
  return (
    <div class="debug-overlay mono" aria-hidden="true" data-testid="debug-overlay">
      {rows.map(([name, text]) => (
        <div key={name}><span class="muted">{name}</span> <span data-testid={`debug-${name}`}>{text}</span></div>
      ))}
    </div>
  );
}
