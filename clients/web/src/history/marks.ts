/** Marks of a session as points one can go to: commands, with how they ended, and what asked for attention. */

import { parseCursor } from "../stream/frame";
import type { Mark, SessionEvent } from "../api/protocol";
import { durationText } from "../ui/words";

export interface Landmark {
  /** The screen here shows it: a command with all of its output. */
  offset: number;
  /** Milliseconds since 1970. */
  at: number;
  kind: "command" | "failed" | "attention";
  label: string;
}

/** The landmarks of the life `instance` of a session; `events` oldest first. */
export function landmarksOf(events: readonly SessionEvent[], instance: string): Landmark[] {
  const landmarks: Landmark[] = [];
  let running: Landmark | null = null;
  for (const event of events) {
    const mark = event.data as Mark | null | undefined;
    const cursor = parseCursor(mark?.cursor ?? "");
    const at = Date.parse(event.at);
    if (!mark || cursor?.instance !== instance || Number.isNaN(at)) continue;
    const { offset } = cursor;
    switch (mark.kind) {
      case "command":
        running = { offset, at, kind: "command", label: mark.text || "a command" };
        landmarks.push(running);
        break;
      case "command_end": {
        const ended = running ?? { offset, at, kind: "command", label: mark.text || "a command" };
        if (!running) landmarks.push(ended);
        running = null;
        ended.offset = offset;
        ended.at = at;
        ended.label += endText(mark);
        if (mark.exit_code) ended.kind = "failed";
        break;
      }
      case "bell":
        landmarks.push({ offset, at, kind: "attention", label: "bell" });
        break;
      case "notification":
        landmarks.push({ offset, at, kind: "attention", label: mark.text || "notification" });
        break;
    }
  }
  return landmarks.sort((a, b) => a.offset - b.offset);
}

function endText({ exit_code, duration_ms }: Mark): string {
  const exit = typeof exit_code === "number" ? ` · exit ${exit_code}` : "";
  return typeof duration_ms === "number" ? `${exit} · ${durationText(duration_ms)}` : exit;
}

export interface Tick {
  place: number;
  landmark: Landmark;
}

/** Ticks for a slider: of those that would touch, the weightier one, else the later. */
export function ticksOf(landmarks: readonly Landmark[], placeOf: (offset: number) => number, count = 200): Tick[] {
  const ticks = new Map<number, Tick>();
  for (const landmark of landmarks) {
    const place = placeOf(landmark.offset);
    const slot = Math.round(place * count);
    const there = ticks.get(slot);
    if (!there || weight(landmark) >= weight(there.landmark)) ticks.set(slot, { place, landmark });
  }
  return [...ticks.values()];
}

function weight({ kind }: Landmark): number {
  return kind === "failed" ? 2 : kind === "command" ? 1 : 0;
}
