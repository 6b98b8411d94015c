/** The terminal's place on the page, with what is said right above and below it. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ApprovalStrip } from "../approvals/approval_strip";
import type { Attachment } from "./attachment";
import { ClipboardStrip } from "../clipboard/offer_strip";
import { DebugOverlay } from "./debug_overlay";
import { EarlierButton } from "./earlier_button";
import { HistoryView } from "../history/history_view";
import { BellFlash } from "./bell_flash";
import { prepareKeyboard } from "./keyboard";
import { LinkTarget } from "./link_target";
import { PasteDialog, PasteProgressStrip } from "../paste/paste_dialog";
import { listenForPastes } from "../paste/listen";
import { HeldInputStrip } from "../lease/held_strip";
import { HeldHint, LeaseStrips } from "../lease/strips";
import { keepCursorInSight } from "../phone/cursor_in_sight";
import { KeyBar } from "../phone/key_bar";
import { Touch } from "../phone/touch";
import { TouchCopy } from "../phone/touch_copy";
import { touchViewport } from "../phone/viewport";
import { SearchPanel } from "../history/search_panel";
import { canStartAgain } from "../sessions/session_actions";
import { store } from "../state";
import { plainLine } from "../ui/plain_text";
import { closedText, exitText } from "../ui/words";
import "./terminal.css";

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
    const touch = new Touch(attachment.screen, element);
    const inSight = keepCursorInSight(attachment.screen, element);
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        attachment.screen.covered = touchViewport.look();
        attachment.screen.layout();
        inSight.look();
      }, touchViewport.settleMs);
    });
    observer.observe(element);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
      stopListening();
      element.removeEventListener("mouseup", copySelected);
      inSight.dispose();
      touch.dispose();
    };
  }, [attachment]);
  const looksBack = attachment.history.isOpen.value;
  const lookedBack = useRef(false);
  useLayoutEffect(() => {
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
        <LeaseStrips attachment={attachment} />
        <ApprovalStrip session={attachment.sessionId} />
        <EarlierButton attachment={attachment} />
        <div class="over-terminal at-bottom">
          <HeldHint attachment={attachment} />
          {store.current.value && <HeldInputStrip session={store.current.value} />}
          <ClipboardStrip attachment={attachment} />
          <PasteProgressStrip attachment={attachment} />
        </div>
        <LinkTarget attachment={attachment} />
        <BellFlash attachment={attachment} />
        <TouchCopy attachment={attachment} />
      </div>
      <KeyBar attachment={attachment} />
      <HistoryView attachment={attachment} />
      <SearchPanel attachment={attachment} />
      <PasteDialog attachment={attachment} />
    </section>
  );
}

/** Who closes a session may say why at any length. */
const HOW_CHARS_MAX = 200;

function ExitBanner({ attachment }: { attachment: Attachment }) {
  const exit = attachment.exit.value ?? store.current.value?.exit ?? null;
  if (attachment.connection.value.state !== "ended") return null;
  const { sessionId } = attachment;
  const gone = store.sessions.value !== null && store.current.value === null;
  const how = exit && (store.current.value?.status === "closed" ? closedText(exit) : exitText(exit));
  const mayStartAgain = store.current.value !== null && canStartAgain(store.current.value);
  return (
    <div class="strip ended" role="status" data-testid="exit-banner">
      <span>{how === null ? endedText(gone) : plainLine(how, HOW_CHARS_MAX)}. {!gone && "Its screen stays readable."}</span>
      {!gone && store.mayChange.value && (
        <span class="strip-actions">
          {mayStartAgain && <button type="button" class="button small" onClick={() => void store.startAgain(sessionId)}>Start again</button>}
          {/* Its recording goes with it: that is asked, as in the list. */}
          <button type="button" class="button small quiet" onClick={() => (store.desk.question.value = { ask: "forget", id: sessionId })}>Remove from list…</button>
        </span>
      )}
    </div>
  );
}

function endedText(gone: boolean): string {
  return gone ? "This session no longer exists" : "The session has ended";
}
