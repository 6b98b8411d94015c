/** What of a session wants somebody, in a word each. */

import { useComputed } from "@preact/signals";
import { store } from "../state";
import { durationText } from "../ui/words";
import { plainLine } from "../ui/plain_text";
import { notificationText } from "./notifier";
import type { AttentionMark } from "./marks";

const MESSAGE_CHARS = 60;

export function MarkChips({ id, password }: { id: string; password: boolean }) {
  const { attention } = store.desk;
  const marks = useComputed(() => attention.marksOf(id)).value;
  const pending = useComputed(() => attention.pendingIn(id)).value;
  if (!marks && pending === 0 && !password) return null;
  return (
    <span class="row row-chips mark-chips" data-testid="row-marks">
      {pending > 0 && <Chip tone="needs" of="approval">{pending === 1 ? "Needs approval" : `${pending} approvals`}</Chip>}
      {password && <Chip tone="needs" of="password">Asks for a password</Chip>}
      {marks?.bell && <Chip tone="bell" of="bell" mark={marks.bell}>Bell</Chip>}
      {marks?.finished && <Chip tone={marks.finished.code === 0 ? "good" : "bad"} of="finished" mark={marks.finished}>{finishedText(marks.finished)}</Chip>}
      {marks?.ended && <Chip tone={marks.ended.code === 0 ? "good" : "bad"} of="ended" mark={marks.ended}>{endedText(marks.ended)}</Chip>}
      {marks?.message && <Chip tone="bell" of="message" mark={marks.message}>{plainLine(marks.message.text || "Notification", MESSAGE_CHARS)}</Chip>}
    </span>
  );
}

interface ChipProps {
  tone: "needs" | "bell" | "good" | "bad";
  of: string;
  mark?: AttentionMark;
  children: string;
}

function Chip({ tone, of, mark, children }: ChipProps) {
  return <span class={`row-chip mark-${tone}`} data-testid={`mark-${of}`} title={mark && plainLine(notificationText(mark), 200)}>{children}</span>;
}

function finishedText({ code, ms }: AttentionMark): string {
  const after = ms === undefined ? "" : ` after ${durationText(ms)}`;
  return code === null || code === undefined ? `Finished${after}` : `Finished: ${code}${after}`;
}

function endedText({ code, text }: AttentionMark): string {
  if (text === "lost") return "Lost";
  return code === null || code === undefined ? "Ended" : `Ended: ${code}`;
}
