/** One event: what happened, when, where; opened, the message as it came. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { store } from "../state";
import { second } from "../ui/clock";
import { clockText } from "../ui/words";
import type { LogEntry } from "./entry";
import { plainJson } from "../ui/plain_text";

interface RowProps {
  entry: LogEntry;
  index: number;
  of: number;
  top: number;
  height: number;
  expanded: boolean;
  /** The keyboard's row. */
  active: boolean;
  /** The session's name; null when it is none that the list knows. */
  name: string | null;
  onToggle(seq: number): void;
  /** How tall what is shown of the message is. */
  onMeasure(px: number): void;
}

export function LogRow({ entry, index, of, top, height, expanded, active, name, onToggle, onMeasure }: RowProps) {
  const { seq, at, type, group, session, words, tone } = entry;
  const time = new Date(at);
  const place = session === null ? "Baton" : (name ?? `Session …${session.slice(-6)}`);
  const go = (): void => {
    store.select(session);
    // On a phone the panel is all there is to see.
    if (innerWidth <= 720) store.panel.value = null;
  };
  return (
    <li class="log-item" style={{ top: `${top}px`, ...(expanded ? {} : { height: `${height}px` }) }} aria-setsize={of} aria-posinset={index + 1} data-seq={seq} data-type={type} data-testid="logs-row">
      <button type="button" class={`log-row log-${tone}`} style={{ height: `${height}px` }} data-gap={group === null} tabIndex={active ? 0 : -1} aria-expanded={expanded} onClick={() => onToggle(seq)}>
        <span class="log-words">{words}</span>
        <span class="log-facts">
          <time dateTime={time.toISOString()} title={time.toLocaleString()}>{clockText(at, second.peek())}</time>
          <span class="mono log-type">{type}</span>
          <span class="visually-hidden">{place}</span>
        </span>
      </button>
      {name !== null && session !== null
        ? <button type="button" class="log-place" tabIndex={active ? 0 : -1} title={`Show ${place}`} aria-label={`Show the session ${place}`} data-testid="logs-go" onClick={go}><bdi>{place}</bdi></button>
        : <span class="log-place muted" aria-hidden="true"><bdi>{place}</bdi></span>}
      {expanded && <Details entry={entry} known={name !== null} onGo={go} onMeasure={onMeasure} />}
    </li>
  );
}

function Details({ entry, known, onGo, onMeasure }: { entry: LogEntry; known: boolean; onGo(): void; onMeasure(px: number): void }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const measure = (): void => onMeasure(element.offsetHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [entry]);
  return (
    <div class="log-details" ref={box}>
      <pre class="mono" tabIndex={0} role="region" aria-label="The event as JSON" data-testid="logs-json">{plainJson(JSON.parse(entry.json))}</pre>
      {known && <button type="button" class="button small" onClick={onGo}>Show the session</button>}
    </div>
  );
}
