/** The terminal's place on the page, with what is said right above and below it. */

import { useEffect, useRef } from "preact/hooks";
import type { Attachment } from "./attachment";
import { ClipboardStrip } from "../clipboard/offer_strip";
import { DebugOverlay } from "./debug_overlay";
import { EarlierButton } from "./earlier_button";
import { HistoryView } from "../history/history_view";
import { BellFlash } from "./bell_flash";
import { KeyBar } from "./keybar";
import { prepareKeyboard } from "./keyboard";
import { LinkTarget } from "./link_target";
import { ControlRequests, HeldHint } from "../lease/lease";
import { PasteDialog, PasteProgressStrip } from "../paste/paste_dialog";
import { listenForPastes } from "../paste/listen";
import { SearchPanel } from "../history/search_panel";
import { store } from "../state";
import { exitText } from "../ui/words";

const LAYOUT_DELAY_MS = 80;

export function TerminalPane({ attachment }: { attachment: Attachment }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    attachment.mount(element);
    prepareKeyboard(attachment);
    const stopListening = listenForPastes(element, { text: (text) => attachment.paste(text), file: () => attachment.refuseFile() });
    const copySelected = (): void => {
      if (store.settings.peek().copy_on_select) void attachment.copySelection();
    };
    element.addEventListener("mouseup", copySelected);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(() => attachment.screen.layout(), LAYOUT_DELAY_MS);
    });
    observer.observe(element);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
      stopListening();
      element.removeEventListener("mouseup", copySelected);
    };
  }, [attachment]);
  const looksBack = attachment.history.isOpen.value;
  const lookedBack = useRef(false);
  useEffect(() => {
    if (lookedBack.current && !looksBack) attachment.focus();
    lookedBack.current = looksBack;
  }, [attachment, looksBack]);
  return (
    <section class="terminal-pane" aria-label="Terminal">
      <ExitBanner attachment={attachment} />
      <div class="terminal-frame">
        {/* Whoever looks back reads there, and types nowhere. */}
        <div class="terminal-box" ref={box} data-testid="terminal" id="terminal" inert={looksBack} />
        <DebugOverlay attachment={attachment} />
        <ControlRequests attachment={attachment} />
        <EarlierButton attachment={attachment} />
        <HeldHint attachment={attachment} />
        <div class="over-terminal at-bottom">
          <ClipboardStrip attachment={attachment} />
          <PasteProgressStrip attachment={attachment} />
        </div>
        <LinkTarget attachment={attachment} />
        <BellFlash attachment={attachment} />
      </div>
      <KeyBar attachment={attachment} />
      <HistoryView attachment={attachment} />
      <SearchPanel attachment={attachment} />
      <PasteDialog attachment={attachment} />
    </section>
  );
}

function ExitBanner({ attachment }: { attachment: Attachment }) {
  const exit = attachment.exit.value ?? store.current.value?.exit ?? null;
  if (attachment.connection.value.state !== "ended") return null;
  const { sessionId } = attachment;
  const gone = store.sessions.value !== null && store.current.value === null;
  return (
    <div class="strip ended" role="status" data-testid="exit-banner">
      <span>{exit ? exitText(exit) : endedText(gone)}. {!gone && "Its screen stays readable."}</span>
      {!gone && (
        <span class="strip-actions">
          <button type="button" class="button small" onClick={() => void store.startAgain(sessionId)}>Start again</button>
          <button type="button" class="button small quiet" onClick={() => void store.forget(sessionId)}>Remove from list</button>
        </span>
      )}
    </div>
  );
}

function endedText(gone: boolean): string {
  return gone ? "This session no longer exists" : "The session has ended";
}
