/** The page: the list on the left, the session with its bar on the right. */

import { useEffect, useLayoutEffect } from "preact/hooks";
import { ApprovalsNews } from "./approvals/approvals_button";
import { ConnectionChip } from "./desk/connection_chip";
import { MenuIcon } from "./ui/icons";
import { LeaseBar } from "./lease/lease";
import { Palette } from "./palette/palette";
import { SessionQuestions } from "./sessions/session_questions";
import { Login, Unreachable } from "./access/login";
import { Notices } from "./desk/notices";
import { Sidebar } from "./sessions/sessions";
import { followShortcut } from "./desk/shortcuts";
import { store } from "./state";
import { touchViewport } from "./phone/viewport";
import { PanelButtons, SidePanel } from "./desk/side_panel";
import { TerminalPane } from "./terminal/terminal";
import { HistoryButton, SessionMenu, Title } from "./desk/title";
import "./desk/desk.css";

export function App() {
  useEffect(() => touchViewport.follow(), []);
  useLayoutEffect(() => {
    addEventListener("keydown", cyclePanes, true);
    addEventListener("keydown", followShortcut, true);
    addEventListener("pointerdown", closeMenus);
    return () => {
      removeEventListener("keydown", cyclePanes, true);
      removeEventListener("keydown", followShortcut, true);
      removeEventListener("pointerdown", closeMenus);
    };
  }, []);
  const { value: signIn } = store.signIn;
  switch (signIn.state) {
    case "starting":
      return <main class="login" aria-busy="true"><ConnectionChip /></main>;
    case "out":
      return <Login message={signIn.message} />;
    case "unreachable":
      return <Unreachable message={signIn.message} />;
    case "in":
      return <Desk />;
  }
}

function Desk() {
  const attachment = store.attachment.value;
  const session = store.current.value;
  const { state } = store.connection.value;
  const trouble = state === "reconnecting" || state === "offline" || state === "replaced";
  return (
    <div class="desk">
      <a class="skip" href="#terminal" onClick={(event) => { event.preventDefault(); attachment?.screen.term.focus(); }}>Skip to the terminal</a>
      <Sidebar />
      {store.drawerOpen.value && <div class="scrim" onClick={() => (store.drawerOpen.value = false)} />}
      <main class="main">
        <header class="top-bar" id="top-bar" data-trouble={trouble}>
          <button
            type="button"
            class="icon-button drawer-only"
            aria-label="Show the sessions"
            aria-controls="sidebar"
            aria-expanded={store.drawerOpen.value}
            onClick={() => (store.drawerOpen.value = true)}
          >
            <MenuIcon />
          </button>
          {session ? <Title session={session} /> : <div class="title"><h1>{attachment ? "Session" : "Sessions"}</h1></div>}
          <ConnectionChip />
          <div class="top-actions">
            <PanelButtons />
            {attachment && <HistoryButton attachment={attachment} />}
            {session && <SessionMenu session={session} />}
          </div>
          {attachment && <LeaseBar attachment={attachment} />}
        </header>
        <div class="body">
          {attachment ? <TerminalPane key={attachment} attachment={attachment} /> : <Nothing />}
          <SidePanel />
        </div>
      </main>
      <Notices />
      <ApprovalsNews />
      <SessionQuestions />
      <Palette />
    </div>
  );
}

function Nothing() {
  const none = store.sessions.value?.length === 0;
  return (
    <div class="nothing">
      <p class="lead">{none ? "Nothing runs yet." : "Choose a session to watch it."}</p>
      <p class="muted">
        {none && !store.mayChange.value ? "What is started and shown to you appears in the list." : none
          ? "“New session” starts a shell. It keeps running when you leave this page."
          : "Watching takes nothing away from whoever has control."}
      </p>
    </div>
  );
}

const PANES = ["#sidebar", "#top-bar", ":is(#terminal, .past)", ".over-terminal", "#side-panel"] as const;
const FOCUSABLE = "button:not(:disabled, [tabindex='-1']), summary, input:not(:disabled), textarea:not([tabindex='-1']), a[href]";

/** Ctrl+F6 leaves the terminal, which keeps Tab for the program. */
function cyclePanes(event: KeyboardEvent): void {
  if (event.key !== "F6" || !event.ctrlKey) return;
  event.preventDefault();
  const step = event.shiftKey ? PANES.length - 1 : 1;
  const here = PANES.findIndex((pane) => document.activeElement?.closest(pane));
  for (let count = 1; count <= PANES.length; count++) {
    const pane = PANES[(here + count * step + PANES.length) % PANES.length];
    const inside = document.querySelectorAll<HTMLElement>(`${pane} :is(${FOCUSABLE})`);
    const target = [...inside].find((element) => element.offsetParent !== null && !element.closest("[inert]"));
    if (target) return target.focus();
  }
}

/** A menu closes when something outside it is pressed. */
function closeMenus(event: PointerEvent): void {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.removeAttribute("open");
  }
}
