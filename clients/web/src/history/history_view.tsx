/**
 * Looking back, over the live terminal, which runs on underneath.
 *
 * It covers the terminal's whole pane instead of taking room from it: looking
 * at the past must not resize the present.
 */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Attachment } from "../terminal/attachment";
import { second } from "../ui/clock";
import { ExportBar, ExportRange } from "./export_bar";
import type { History } from "./history";
import { BackIcon, DownloadIcon, ForwardIcon, PauseIcon, PlayIcon, SearchIcon } from "../ui/icons";
import { PastScreen } from "./past_screen";
import { SPEEDS, type Speed } from "./player";
import { store } from "../state";
import { clockText } from "../ui/words";
import "./history_view.css";
import "./scrubber.css";

/** Places on the slider. */
const STEPS = 1000;
const COARSE_STEPS = 25;

export function HistoryView({ attachment }: { attachment: Attachment }) {
  return attachment.history.isOpen.value ? <Past attachment={attachment} /> : null;
}

function Past({ attachment }: { attachment: Attachment }) {
  const { history } = attachment;
  const key = (event: KeyboardEvent): void => {
    const { target } = event;
    // Buttons and fields have their own use for the keys.
    const free = target instanceof Element && target.closest(".past-box, .scrubber") !== null;
    const move = event.key === "Escape" ? () => history.close() : free ? moveFor(event, history) : null;
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  };
  return (
    <section
      class="past"
      aria-label="History"
      data-testid="history"
      data-state={history.playing.value ? "playing" : history.loading.value ? "loading" : "shown"}
      data-shown={history.shown.value}
      data-slow={history.slow.value}
      data-beside-search={attachment.search.isOpen.value}
      onKeyDown={key}
    >
      <Banner history={history} />
      <PastTerminal history={history} />
      <Controls attachment={attachment} />
    </section>
  );
}

/** What a key does to the moment looked at. */
function moveFor(event: KeyboardEvent, history: History): (() => void) | null {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  const step = (event.shiftKey ? COARSE_STEPS : 1) / STEPS;
  switch (event.key) {
    case "ArrowLeft":
    case "ArrowDown":
      return () => history.seek(history.place.peek() - step);
    case "ArrowRight":
    case "ArrowUp":
      return () => history.seek(history.place.peek() + step);
    case "PageUp":
      return () => history.jump(-1);
    case "PageDown":
      return () => history.jump(1);
    case "Home":
      return () => history.seek(0);
    case "End":
      return () => history.seek(1);
    case " ":
      return () => history.togglePlay();
    case "[":
      return () => chooseEnd(history, () => history.export.startAt(history.moment()));
    case "]":
      return () => chooseEnd(history, () => history.export.endAt(history.momentBefore()));
    default:
      return null;
  }
}

/** What is exported begins or ends where one looks. */
function chooseEnd(history: History, choose: () => void): void {
  choose();
  history.export.isOpen.value = true;
}

function Banner({ history }: { history: History }) {
  const at = history.at.value;
  const error = history.error.value;
  const slow = history.slow.value;
  const now = second.value;
  return (
    <div class="past-banner" data-testid="history-banner" data-at={at ?? undefined}>
      <span class="dot" aria-hidden="true" />
      <span class="past-time">
        {at === null ? "You look back" : <>{slow ? "Loading" : "You look at"} <strong>{clockText(at, now)}</strong></>}
        {slow ? "…" : <span class="past-note"> · {history.living.value ? "the shell runs on" : "the session has ended"}</span>}
      </span>
      {error && <span class="past-error" role="alert" data-testid="history-error">{error}</span>}
      <span class="visually-hidden" role="status">
        {slow ? "Loading" : `History. Nothing you type is sent. Escape goes back to ${history.living.value ? "the live terminal" : "the terminal"}.`}
      </span>
    </div>
  );
}

function PastTerminal({ history }: { history: History }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const live = store.attachment.peek()?.screen.term;
    const cells = { cols: live?.cols ?? 80, rows: live?.rows ?? 24 };
    const screen = new PastScreen(element, cells, store.settings.peek(), store.shade.peek());
    history.showOn(screen);
    const observer = new ResizeObserver(() => screen.layout());
    observer.observe(element);
    return () => {
      observer.disconnect();
      history.showOn(null);
      screen.dispose();
    };
  }, [history]);
  const { value: settings } = store.settings;
  const { value: shade } = store.shade;
  useEffect(() => history.screen?.configure(settings, shade), [history, settings, shade]);
  return <div class="past-box" ref={box} data-testid="history-screen" />;
}

function Controls({ attachment }: { attachment: Attachment }) {
  const { history } = attachment;
  const slider = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    // Who chooses among search results goes on doing so.
    if (!attachment.search.isOpen.peek()) slider.current?.focus({ preventScroll: true });
  }, [attachment]);
  const playing = history.playing.value;
  const hasLandmarks = history.landmarks.value.length > 0;
  return (
    <div class="past-controls" role="group" aria-label="Time">
      <Scrubber attachment={attachment} field={slider} />
      <div class="past-buttons">
        <button type="button" class="button" data-testid="history-play" aria-label={playing ? "Pause" : "Play"} title={playing ? "Pause (Space)" : "Play (Space)"} onClick={() => history.togglePlay()}>
          {playing ? <PauseIcon /> : <PlayIcon />}
        </button>
        <label class="past-speed">
          <span class="visually-hidden">Speed</span>
          <select class="button" value={history.speed.value} onChange={(event) => history.setSpeed(Number(event.currentTarget.value) as Speed)}>
            {SPEEDS.map((speed) => <option key={speed} value={speed}>{speed}×</option>)}
          </select>
        </label>
        <button type="button" class="button quiet past-jump" disabled={!hasLandmarks} aria-label="The command before" title="The command before (Page Up)" onClick={() => history.jump(-1)}><BackIcon /></button>
        <button type="button" class="button quiet past-jump" disabled={!hasLandmarks} aria-label="The next command" title="The next command (Page Down)" onClick={() => history.jump(1)}><ForwardIcon /></button>
        <span class="past-gap" />
        <button type="button" class="button quiet" aria-label="Search" title="Search the output (Ctrl+Shift+F)" data-testid="history-search" onClick={() => attachment.openSearch()}><SearchIcon /><span class="wide-only">Search</span></button>
        <button type="button" class="button quiet" aria-label="Export" title="Export all of it, or a part ([ and ] choose one)" aria-expanded={history.export.isOpen.value} data-testid="history-export" onClick={() => (history.export.isOpen.value = !history.export.isOpen.peek())}><DownloadIcon /><span class="wide-only">Export</span></button>
        <button type="button" class="button primary past-live" data-testid="history-live" title="Back to now (Escape)" onClick={() => history.close()}>
          <span class="dot" aria-hidden="true" />{history.living.value ? "Live" : "Close"}
        </button>
      </div>
      <ExportBar attachment={attachment} />
    </div>
  );
}

function Scrubber({ attachment, field }: { attachment: Attachment; field: { current: HTMLInputElement | null } }) {
  const { history } = attachment;
  const place = history.place.value;
  const timeline = history.timeline.value;
  const at = history.at.value;
  const now = second.value;
  return (
    <div class="scrubber" style={{ "--place": place }}>
      <ExportRange attachment={attachment} />
      <div class="ticks">
        {history.ticks.value.map(({ place: where, landmark }) => (
          <button
            key={landmark.offset}
            type="button"
            class={`tick tick-${landmark.kind}`}
            tabindex={-1}
            aria-hidden="true"
            style={{ "--place": where }}
            title={`${clockText(landmark.at, now)} · ${landmark.label}`}
            onClick={() => history.goTo(landmark)}
          />
        ))}
      </div>
      <input
        ref={field}
        type="range"
        min={0}
        max={STEPS}
        step={1}
        value={Math.round(place * STEPS)}
        aria-label="Moment"
        aria-valuetext={at === null ? "now" : clockText(at, now)}
        data-testid="history-slider"
        onInput={(event) => history.seek(Number(event.currentTarget.value) / STEPS)}
      />
      <div class="scrubber-ends muted" aria-hidden="true">
        <span>{timeline ? clockText(timeline.start.at, now) : " "}</span>
        <span>{history.living.value ? "now" : timeline ? clockText(timeline.end.at, now) : " "}</span>
      </div>
    </div>
  );
}
