/** The session's name, which a click turns into a field, and what else can be done with it. */

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Attachment } from "../terminal/attachment";
import { PanelEntries } from "../phone/panel_entries";
import { AgentInputSwitch } from "../lease/held_strip";
import { Confirm } from "../ui/dialog";
import { HistoryIcon, MoreIcon } from "../ui/icons";
import type { Session } from "../api/protocol";
import { store } from "../state";
import { plainText } from "../ui/plain_text";
import { limitsLine, sandboxLine, sessionName, sessionSubtitle } from "../ui/words";
import "./title.css";

export function Title({ session }: { session: Session }) {
  const editing = useSignal(false);
  const name = sessionName(session);
  const title = store.attachment.value?.terminalTitle.value;
  const subtitle = plainText(title || sessionSubtitle(session, store.details.value.get(session.id)?.foreground?.command ?? null));
  if (editing.value) return <RenameField session={session} onDone={() => (editing.value = false)} />;
  return (
    <div class="title">
      <h1 title={store.mayChange.value ? undefined : name}>
        {store.mayChange.value ? (
          <button type="button" class="title-button" title="Rename" aria-label={`${name}, rename`} data-testid="rename" onClick={() => (editing.value = true)}>
            {name}
          </button>
        ) : name}
      </h1>
      <span class="muted subtitle" title={subtitle}>{subtitle}</span>
      <Report line={sandboxLine(session)} of="sandbox" />
      <Report line={limitsLine(session)} of="limits" />
    </div>
  );
}

/** How far the session is confined, or limited; nothing for one that is not. What is missing is a warning, with its reason. */
function Report({ line, of }: { line: { text: string; missing: string | null; detail?: string | null } | null; of: "sandbox" | "limits" }) {
  if (line === null) return null;
  return (
    <span class="muted subtitle report" data-testid={of} data-whole={line.missing === null} title={line.detail ? `${line.text}: ${line.detail}` : (line.missing ?? line.text)} role={line.missing === null ? undefined : "alert"}>
      {/* The end of a long line is cut off: what is missing is not to be. */}
      {line.missing === null ? line.text : `⚠ ${line.missing} · ${line.text}`}
    </span>
  );
}

function RenameField({ session, onDone }: { session: Session; onDone(): void }) {
  const input = useRef<HTMLInputElement>(null);
  const cancelled = useRef(false);
  useLayoutEffect(() => input.current?.select(), []);
  const save = async (): Promise<void> => {
    const title = input.current?.value.trim() ?? "";
    if (cancelled.current || title === session.title || !title) return onDone();
    if (await store.run(() => store.client.rename(session.id, title))) onDone();
    else input.current?.focus();
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      cancelled.current = true;
      onDone();
    } else if (event.key === "Enter") {
      input.current?.blur();
    }
  };
  return (
    <input ref={input} class="rename" aria-label="Session name" data-testid="rename-field" defaultValue={session.title} onKeyDown={key} onBlur={() => void save()} />
  );
}

export function HistoryButton({ attachment }: { attachment: Attachment }) {
  const { isOpen } = attachment.history;
  return (
    <button type="button" class="button quiet history-button" aria-label="History" aria-pressed={isOpen} title="Look back (Ctrl+Shift+H)" data-testid="history-button" onClick={() => attachment.toggleHistory()}>
      <HistoryIcon /><span class="wide-only">History</span>
    </button>
  );
}

export function SessionMenu({ session }: { session: Session }) {
  const closing = useSignal(false);
  const menu = useRef<HTMLDetailsElement>(null);
  const attachment = store.attachment.value;
  // Whoever may only watch is not offered what would be refused.
  const mayEnd = store.mayChange.value && (session.status === "running" || session.status === "starting");
  const choose = (action: () => void) => (): void => {
    menu.current?.removeAttribute("open");
    action();
  };
  return (
    <>
      <details class="menu" ref={menu} onKeyDown={(event) => event.key === "Escape" && menu.current?.removeAttribute("open")}>
        <summary class="icon-button" aria-label="More for this session" title="More" data-testid="session-menu"><MoreIcon /></summary>
        <div class="menu-body narrow">
          {attachment && (
            <button type="button" class="button quiet" data-testid="open-search" onClick={choose(() => attachment.openSearch())}>
              Search the output <kbd class="muted">Ctrl+Shift+F</kbd>
            </button>
          )}
          {attachment && attachment.earlier.state.value !== "none" && (
            <button type="button" class="button quiet" onClick={choose(() => void attachment.earlier.load())}>Load earlier output</button>
          )}
          <button type="button" class="button quiet" data-testid="export" onClick={choose(() => void store.download(session.id))}>Download recording</button>
          <PanelEntries onDone={choose(() => undefined)} />
          {mayEnd && <AgentInputSwitch session={session} onDone={choose(() => undefined)} />}
          {mayEnd && (
            <button type="button" class="button quiet danger-text" data-testid="close-session" onClick={choose(() => (closing.value = true))}>
              Close session…
            </button>
          )}
        </div>
      </details>
      {closing.value && (
        <Confirm
          title={`Close “${sessionName(session)}”?`}
          text="This ends everything running in it, for everybody who is attached. Leaving the page does not: then it runs on."
          action="Close session"
          danger
          onConfirm={() => void store.run(() => store.client.close(session.id, "from the page"))}
          onClose={() => (closing.value = false)}
        />
      )}
    </>
  );
}
