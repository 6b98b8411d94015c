/** Everything that can be chosen in the palette, as things stand. */

import { togglePanel } from "../desk/side_panel";
import { viewOf } from "../lease/take";
import type { Session } from "../api/protocol";
import { byLifeThenAge, labelText } from "../sessions/order";
import { commandText } from "../sessions/command";
import { shortFolder } from "../sessions/folder";
import { sessionActions } from "../sessions/session_actions";
import { clampFont, type Settings } from "../settings/settings";
import { store, type PanelName } from "../state";
import { plainLine } from "../ui/plain_text";
import { sessionName, statusText } from "../ui/words";
import type { PaletteItem } from "./ranking";

const NAME_CHARS = 60;
const FOLDER_CHARS = 34;
const PANELS: readonly [PanelName, string][] = [["approvals", "Approvals"], ["logs", "Logs"], ["audit", "Audit log"]];
const THEMES: readonly [Settings["theme"], string][] = [["dark", "Theme: dark"], ["light", "Theme: light"], ["system", "Theme: as the system"]];

/** Reads signals: whoever draws it is drawn again when one of them changes. */
export function paletteItems(): PaletteItem[] {
  const sessions = [...(store.sessions.value ?? [])].sort(byLifeThenAge);
  const current = store.current.value;
  const others = sessions.filter(({ id }) => id !== current?.id);
  return [
    ...others.filter(({ id }) => store.desk.needing.value.has(id)).map(sessionItem),
    ...others.filter(({ id }) => !store.desk.needing.value.has(id)).map(sessionItem),
    ...(store.mayChange.value ? createItems() : []),
    ...(current ? currentItems(current) : []),
    ...PANELS.map(([name, label]): PaletteItem => ({ key: `panel:${name}`, kind: "action", label: `${store.panel.value === name ? "Close" : "Open"} ${label}`, words: ["panel"], run: () => togglePanel(name) })),
    ...pageItems(),
    ...(store.mayChange.value ? others.flatMap(otherItems) : []),
  ];
}

function sessionItem(session: Session): PaletteItem {
  const { id, labels, lease } = session;
  const detail = store.details.value.get(id);
  const command = commandText(detail?.foreground?.command ?? session.command.join(" "));
  const marked = store.desk.needing.value.has(id) ? "needs you" : "";
  const told = [marked, statusText(session), plainLine(command, NAME_CHARS), detail?.cwd ? plainLine(shortFolder(detail.cwd, FOLDER_CHARS), NAME_CHARS) : ""];
  return {
    key: `session:${id}`,
    kind: "session",
    label: plainLine(sessionName(session), NAME_CHARS),
    detail: told.filter((part) => part !== "").join(" · "),
    words: [command, detail?.cwd ?? "", ...Object.entries(labels).map(([key, value]) => labelText(key, value)), session.terminal_title ?? "", lease?.owner_name ?? "", marked],
    run: () => {
      store.select(id);
      store.attachment.peek()?.focus();
    },
  };
}

function createItems(): PaletteItem[] {
  const { question } = store.desk;
  return [
    { key: "new", kind: "action", label: "New session", words: ["create start shell"], run: () => void store.create({}).then((problem) => problem && store.notify(problem, "error")) },
    { key: "new-options", kind: "action", label: "New session with options…", words: ["create start command folder sandbox limits"], run: () => void (question.value = { ask: "new" }) },
  ];
}

/** What can be done with the session that is shown. */
function currentItems(session: Session): PaletteItem[] {
  const attachment = store.attachment.value;
  const items: PaletteItem[] = [];
  const add = (key: string, label: string, run: () => void, more: Partial<PaletteItem> = {}): void => void items.push({ key, kind: "action", label, run, ...more });
  if (attachment) {
    const { can, confirm } = viewOf(attachment);
    if (can.claim) add("claim", "Claim control", () => attachment.claim(false), { words: ["lease"] });
    if (can.release) add("release", "Release control", () => attachment.release(), { words: ["lease give back"] });
    if (can.ask && !attachment.asked.value) add("ask", "Ask for control", () => attachment.ask(), { words: ["lease request"] });
    if (can.take) {
      add("take", "Take control…", () => {
        if (confirm) store.desk.question.value = { ask: "take", id: session.id };
        else attachment.claim(true);
      }, { words: ["lease force"] });
    }
    add("search", "Search the output", () => attachment.openSearch(), { shortcut: "Ctrl+Shift+F", words: ["find"] });
    add("history", attachment.history.isOpen.value ? "Back to live" : "Look back", () => attachment.toggleHistory(), { shortcut: "Ctrl+Shift+H", words: ["history time scrub replay"] });
    add("export", "Download recording", () => void store.download(session.id), { words: ["export cast"] });
  }
  if (store.mayChange.value) {
    for (const { name, whole, key, act } of sessionActions(session)) {
      add(name, whole, act, { detail: plainLine(sessionName(session), NAME_CHARS), ...(key ? { shortcut: `${key} in the list` } : {}) });
    }
  }
  return items;
}

function pageItems(): PaletteItem[] {
  const { settings } = store;
  const { value: signIn } = store.signIn;
  const change = (part: Partial<Settings>) => (): void => void (settings.value = { ...settings.peek(), ...part });
  const { font_px, theme } = settings.value;
  const action = (key: string, label: string, run: () => void, words: string[] = []): PaletteItem => ({ key, kind: "action", label, run, words });
  return [
    action("notifications", "Notifications and pictures…", () => void (store.desk.settingsShown.value = true), ["settings bell"]),
    ...THEMES.filter(([value]) => value !== theme).map(([value, label]) => action(`theme:${value}`, label, change({ theme: value }), ["settings colours"])),
    action("larger", "Larger text", change({ font_px: clampFont(font_px + 1) }), ["settings font size"]),
    action("smaller", "Smaller text", change({ font_px: clampFont(font_px - 1) }), ["settings font size"]),
    ...(signIn.state === "in" ? [action("sign-out", "Sign out", () => void store.signOut(), ["log out", signIn.principal.name])] : []),
  ];
}

/** What can be done with a session that is not shown. */
function otherItems(session: Session): PaletteItem[] {
  const name = plainLine(sessionName(session), NAME_CHARS);
  return sessionActions(session).map(({ name: action, label, act }): PaletteItem => ({
    key: `${action}:${session.id}`,
    kind: "action",
    label: `${label.replace(/ session…$|…$/, "")}: ${name}`,
    typedOnly: true,
    run: act,
  }));
}
