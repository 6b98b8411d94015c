/** What this browser tells of, and whether the list has pictures. */

import { useSignal } from "@preact/signals";
import { Dialog } from "../ui/dialog";
import { store } from "../state";
import { clampLong, LONG_S, type NotifyPreferences } from "./preferences";

type Flag = { [K in keyof NotifyPreferences]: NotifyPreferences[K] extends boolean ? K : never }[keyof NotifyPreferences];

const KINDS: readonly { flag: Flag; label: string; help: string }[] = [
  { flag: "bell", label: "Bell", help: "A program rings." },
  { flag: "finished", label: "Finished", help: "A long command ends (in shells that mark their commands), or a session does." },
  { flag: "message", label: "Notifications of programs", help: "What a program asks the terminal to say." },
];

const BellIcon = () => (
  <svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
    <path d="M5 13.5V9a5 5 0 0 1 10 0v4.5l1.2 1.5H3.8L5 13.5ZM8.5 17.2h3" />
  </svg>
);

export function ListSettings() {
  const shown = store.desk.settingsShown;
  return (
    <>
      <button type="button" class="icon-button" aria-label="Notifications and pictures" title="Notifications and pictures" data-testid="notify-settings" onClick={() => (shown.value = true)}>
        <BellIcon />
      </button>
      {shown.value && <NotifyDialog onClose={() => (shown.value = false)} />}
    </>
  );
}

function NotifyDialog({ onClose }: { onClose(): void }) {
  const { preferences } = store.desk;
  const now = preferences.value;
  const permission = useSignal(permissionNow());
  const change = (part: Partial<NotifyPreferences>): void => void (preferences.value = { ...preferences.peek(), ...part });
  const turn = async (on: boolean): Promise<void> => {
    // Only ever asked when a person turns them on.
    if (on && permission.value === "default") {
      await Notification.requestPermission();
      permission.value = permissionNow();
    }
    change({ notifications: on && permission.value === "granted" });
  };
  const on = now.notifications && permission.value === "granted";
  return (
    <Dialog title="Notifications and pictures" onClose={onClose}>
      <label class="field-row check">
        <span>Notify me outside the page<br /><span class="help">When a session that nobody looks at here wants somebody. With its name and a short text, no more.</span></span>
        <input type="checkbox" checked={on} disabled={permission.value === "none" || permission.value === "denied"} data-testid="notifications-on" onChange={(event) => void turn(event.currentTarget.checked)} />
      </label>
      {permission.value === "denied" && <p class="message" role="status">This browser refuses notifications of this page. Allow them in the browser's settings for this site, then come back.</p>}
      {permission.value === "none" && <p class="help" role="status">This browser shows notifications only for pages it reached securely: by localhost or https.</p>}
      <fieldset class="notify-kinds" disabled={!on}>
        <legend class="visually-hidden">Of what</legend>
        {KINDS.map(({ flag, label, help }) => (
          <label key={flag} class="field-row check">
            <span>{label}<br /><span class="help">{help}</span></span>
            <input type="checkbox" checked={now[flag]} data-testid={`notify-${flag}`} onChange={(event) => change({ [flag]: event.currentTarget.checked })} />
          </label>
        ))}
      </fieldset>
      <label class="field-row">
        <span>A command is a long one after so many seconds<br /><span class="help">Shorter ones leave no mark in the list either.</span></span>
        <input type="number" class="seconds" min={LONG_S.least} max={LONG_S.most} step="1" value={now.long_s} data-testid="long-seconds" onChange={(event) => change({ long_s: clampLong(event.currentTarget.valueAsNumber) })} />
      </label>
      <label class="field-row check">
        <span>Small pictures of the screens in the list</span>
        <input type="checkbox" checked={now.pictures} data-testid="pictures-on" onChange={(event) => change({ pictures: event.currentTarget.checked })} />
      </label>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>Close</button>
      </div>
    </Dialog>
  );
}

function permissionNow(): NotificationPermission | "none" {
  return "Notification" in window && window.isSecureContext ? Notification.permission : "none";
}
