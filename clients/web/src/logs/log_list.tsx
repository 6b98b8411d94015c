/**
 * The rows in sight of a list that may have a hundred thousand.
 *
 * It follows its end until somebody scrolls up; then the row at the top stays where it is, whatever comes or goes above it.
 */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { store } from "../state";
import { sessionName } from "../ui/words";
import { LogRow } from "./log_row";
import { indexOfSeq, RowWindow } from "./window";

/** The heights that `logs.css` gives to rows, and to what is above the first one. */
const ROW_PX = 46;
const ROW_NARROW_PX = 56;
const HEAD_PX = 48;
const NARROW = matchMedia("(width <= 720px)");
/** So near to the end is at it. */
const END_PX = 4;

export function LogList() {
  const { logs } = store;
  const rows = logs.rows;
  const expanded = logs.expanded.value;
  const box = useRef<HTMLDivElement>(null);
  const view = useSignal({ top: 0, height: 0 });
  const extra = useSignal(0);
  const active = useSignal<number | null>(null);
  const rowPx = useRowHeight();
  /** The row at the top, and how much of it is above. */
  const anchor = useRef<{ seq: number; above: number } | null>(null);
  const focusNext = useRef(false);

  const at = expanded === null ? -1 : indexOfSeq(rows, expanded);
  const open = rows[at]?.seq === expanded ? at : -1;
  const window = new RowWindow(rows.length, rowPx, open < 0 ? null : { index: open, extra: extra.value });

  const look = (): void => {
    const element = box.current;
    if (!element) return;
    const { scrollTop: top, clientHeight: height } = element;
    if (top !== view.peek().top || height !== view.peek().height) view.value = { top, height };
  };
  const scrolled = (): void => {
    const element = box.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight <= END_PX;
    logs.following.value = atEnd;
    if (atEnd && !logs.paused.peek()) logs.fresh.value = 0;
    const index = window.at(element.scrollTop - HEAD_PX);
    const row = rows[index];
    anchor.current = row ? { seq: row.seq, above: element.scrollTop - HEAD_PX - window.topOf(index) } : null;
    look();
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const wanted = anchor.current;
    if (logs.following.peek() && !logs.paused.peek()) element.scrollTop = element.scrollHeight;
    else if (wanted) {
      const top = HEAD_PX + window.topOf(indexOfSeq(rows, wanted.seq)) + wanted.above;
      if (Math.abs(element.scrollTop - top) >= 1) element.scrollTop = top;
    }
    look();
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const toNewest = (): void => {
    if (logs.paused.peek()) logs.pause(false);
    logs.fresh.value = 0;
    logs.following.value = true;
    logs.version.value += 1;
  };
  const toggle = (seq: number): void => {
    // What is read is not to move away.
    logs.following.value = false;
    active.value = seq;
    logs.expanded.value = logs.expanded.peek() === seq ? null : seq;
  };
  /** Moves the keyboard's row, and shows it. */
  const key = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.target instanceof Element) || !event.target.closest(".log-row")) return;
    const element = box.current;
    const here = indexOfSeq(rows, active.peek() ?? rows.at(-1)?.seq ?? 0);
    const page = Math.max(1, Math.floor(view.peek().height / rowPx) - 1);
    const there = { ArrowUp: here - 1, ArrowDown: here + 1, PageUp: here - page, PageDown: here + page, Home: 0, End: rows.length - 1 }[event.key];
    if (there === undefined || !element) return;
    event.preventDefault();
    const index = Math.min(rows.length - 1, Math.max(0, there));
    active.value = rows[index]?.seq ?? null;
    focusNext.current = true;
    const [top, height] = [HEAD_PX + window.topOf(index), rowPx + (index === open ? extra.peek() : 0)];
    logs.following.value = index === rows.length - 1;
    if (top < element.scrollTop) element.scrollTop = index === 0 ? 0 : top;
    else if (top + height > element.scrollTop + element.clientHeight) element.scrollTop = top + height - element.clientHeight;
    scrolled();
  };
  useLayoutEffect(() => {
    if (!focusNext.current) return;
    focusNext.current = false;
    box.current?.querySelector<HTMLElement>(`[data-seq="${active.peek()}"] .log-row`)?.focus({ preventScroll: true });
  });

  const names = new Map((store.sessions.value ?? []).map((session) => [session.id, sessionName(session)]));
  const [from, to] = window.range(view.value.top - HEAD_PX, view.value.height);
  const shown = rows.slice(from, to).map((_, offset) => from + offset);
  // The keyboard's row stays in the page when it is scrolled out of sight: with it the focus would go.
  const current = active.value === null ? rows.length - 1 : indexOfSeq(rows, active.value);
  if (current >= 0 && current < rows.length && (current < from || current >= to)) shown.push(current);
  const fresh = logs.fresh.value;
  return (
    <div class="log-frame">
      <div class="log-scroll" ref={box} onScroll={scrolled} onKeyDown={key} data-testid="logs-scroll" data-following={logs.following.value}>
        <Head />
        {rows.length === 0 && <p class="empty">{logs.held === 0 ? "Nothing has happened yet." : "No event is of this kind: change the filter."}</p>}
        <ol class="log-rows" aria-label="Events, the newest last" style={{ height: `${window.height}px` }}>
          {shown.map((index) => {
            const entry = rows[index];
            if (!entry) return null;
            return (
              <LogRow
                key={`${entry.seq} ${entry.type}`}
                entry={entry}
                index={index}
                of={rows.length}
                top={window.topOf(index)}
                height={rowPx}
                expanded={index === open}
                active={index === current}
                name={entry.session === null ? null : (names.get(entry.session) ?? null)}
                onToggle={toggle}
                onMeasure={(px) => (extra.value = px)}
              />
            );
          })}
        </ol>
      </div>
      {fresh > 0 && (
        <button type="button" class="button primary log-jump" data-testid="logs-jump" onClick={toNewest}>
          {fresh.toLocaleString()} new, jump to newest
        </button>
      )}
    </div>
  );
}

/** What is before the first row. */
function Head() {
  const { logs } = store;
  void logs.version.value;
  const reading = logs.readingOlder.value;
  return (
    <div class="log-head muted" data-testid="logs-head" data-before={logs.before}>
      {logs.before === "nothing" && <span>The beginning: nothing older is kept.</span>}
      {(logs.before === "let_go" || (logs.before === "unknown" && !logs.canReadOlder && logs.held > 0)) && <span>Older events are not kept in this page, which holds 100,000 at most.</span>}
      {logs.canReadOlder && (logs.held > 0 || reading) && (
        <button type="button" class="button small" disabled={reading} aria-busy={reading} data-testid="logs-older" onClick={() => void logs.readOlder()}>
          {reading ? "Reading older events…" : "Read older events"}
        </button>
      )}
    </div>
  );
}

function useRowHeight(): number {
  const narrow = useSignal(NARROW.matches);
  useEffect(() => {
    const follow = (): void => void (narrow.value = NARROW.matches);
    NARROW.addEventListener("change", follow);
    return () => NARROW.removeEventListener("change", follow);
  }, []);
  return narrow.value ? ROW_NARROW_PX : ROW_PX;
}
