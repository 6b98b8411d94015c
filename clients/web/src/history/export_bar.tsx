/** Chooses the part of a session that becomes a file; the slider stays usable, since it is what one chooses with. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { ExportFormat } from "../api/recordings";
import type { Attachment } from "../terminal/attachment";
import { store } from "../state";
import { second } from "../ui/clock";
import { fileNameOf, saveFile } from "../ui/download";
import { CloseIcon, DownloadIcon } from "../ui/icons";
import { bytesText, clockText, sessionName } from "../ui/words";
import { ENDINGS } from "./export";
import "./export.css";

const FORMATS: readonly [ExportFormat, string][] = [["cast3", "asciicast v3"], ["cast2", "asciicast v2"], ["text", "Text of the last screen, and the lines above"]];

export function ExportBar({ attachment }: { attachment: Attachment }) {
  return attachment.history.export.isOpen.value ? <OpenBar attachment={attachment} /> : null;
}

function OpenBar({ attachment }: { attachment: Attachment }) {
  const { history } = attachment;
  const part = history.export;
  const begin = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    // Opened by a key of the slider, the slider goes on.
    if (!document.activeElement?.closest(".scrubber, .past-box")) begin.current?.focus({ preventScroll: true });
  }, []);
  const now = second.value;
  const reading = part.reading.value;
  const [from, to] = [part.from.value, part.to.value];
  const isText = part.format.value === "text";
  const save = async (): Promise<void> => {
    const content = await part.read();
    const session = store.current.peek();
    if (content) saveFile(content, `${fileNameOf(session ? sessionName(session) : attachment.sessionId)}.${ENDINGS[part.format.peek()]}`);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    // One step back: the slider, not the terminal.
    event.preventDefault();
    event.stopPropagation();
    part.close();
    document.querySelector<HTMLElement>(".scrubber input")?.focus({ preventScroll: true });
  };
  return (
    <div class="export" role="group" aria-label="Export" data-testid="export-bar" onKeyDown={key}>
      <div class="export-ends">
        <span class="export-end">
          <span class="muted">From</span> <output data-testid="export-from">{from ? clockText(from.at, now) : "the beginning"}</output>
          <button type="button" class="button small" ref={begin} disabled={isText} title="Begin at the moment that is shown ([)" data-testid="export-set-from" onClick={() => part.startAt(history.moment())}>Begin here</button>
        </span>
        <span class="export-end">
          <span class="muted">To</span> <output data-testid="export-to">{to ? clockText(to.at, now) : "the newest"}</output>
          <button type="button" class="button small" title="End at the moment that is shown (])" data-testid="export-set-to" onClick={() => part.endAt(history.momentBefore())}>End here</button>
        </span>
        {(from ?? to) && <button type="button" class="button small quiet" onClick={() => { part.startAt(null); part.endAt(null); }}>All of it</button>}
      </div>
      <div class="export-actions">
        <label>
          <span class="visually-hidden">Format</span>
          <select class="button export-format" data-testid="export-format" value={part.format.value} onChange={(event) => (part.format.value = event.currentTarget.value as ExportFormat)}>
            {FORMATS.map(([name, words]) => <option key={name} value={name}>{words}</option>)}
          </select>
        </label>
        {reading === null
          ? <button type="button" class="button primary" data-testid="export-save" onClick={() => void save()}><DownloadIcon />Save</button>
          : <button type="button" class="button" onClick={() => part.cancel()}>Cancel ({bytesText(reading)})</button>}
        <button type="button" class="icon-button" aria-label="Close the export" onClick={() => part.close()}><CloseIcon /></button>
      </div>
      {part.error.value && <p class="message export-error" role="alert">{part.error.value}</p>}
    </div>
  );
}

/** The part that is chosen, on the slider. */
export function ExportRange({ attachment }: { attachment: Attachment }) {
  const { history } = attachment;
  const { from, to, isOpen } = history.export;
  const timeline = history.timeline.value;
  if (!isOpen.value || !timeline) return null;
  const [begin, end] = [from.value ? timeline.placeOfOffset(from.value.offset) : 0, to.value ? timeline.placeOfOffset(to.value.offset) : 1];
  return <div class="export-range" aria-hidden="true" style={{ "--from": begin, "--to": end }} />;
}
