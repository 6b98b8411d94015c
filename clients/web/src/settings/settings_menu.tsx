/** What this screen looks like, and the way out. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { BatonSettingsDialog } from "./baton_settings";
import { GearIcon } from "../ui/icons";
import { clampFont, FONT_PX, type Settings } from "./settings";
import { store } from "../state";

const THEMES: readonly { value: Settings["theme"]; label: string }[] = [
  { value: "system", label: "As the system" },
  { value: "dark", label: "Dark" },
  { value: "light", label: "Light" },
];

export function SettingsMenu() {
  const menu = useRef<HTMLDetailsElement>(null);
  const all = useSignal(false);
  const { theme, font_px, screen_reader } = store.settings.value;
  const { value: signIn } = store.signIn;
  const change = (part: Partial<Settings>): void => {
    store.settings.value = { ...store.settings.value, ...part };
  };
  return (
    <>
      <details class="menu" ref={menu} onKeyDown={(event) => event.key === "Escape" && menu.current?.removeAttribute("open")}>
        <summary class="icon-button" data-testid="settings-menu" aria-label="Settings" title="Settings"><GearIcon /></summary>
        <div class="menu-body">
          <fieldset class="segmented">
            <legend>Theme</legend>
            {THEMES.map(({ value, label }) => (
              <label key={value}>
                <input type="radio" name="theme" checked={theme === value} onChange={() => change({ theme: value })} />
                <span>{label}</span>
              </label>
            ))}
          </fieldset>
          <div class="field-row">
            <span id="font-size-label">Text size</span>
            <span class="stepper" role="group" aria-labelledby="font-size-label">
              <button type="button" class="button small" aria-label="Smaller text" disabled={font_px <= FONT_PX.least} onClick={() => change({ font_px: clampFont(font_px - 1) })}>A−</button>
              <output>{font_px}</output>
              <button type="button" class="button small" aria-label="Larger text" disabled={font_px >= FONT_PX.most} onClick={() => change({ font_px: clampFont(font_px + 1) })}>A+</button>
            </span>
          </div>
          <label class="field-row check">
            <span>Screen reader mode</span>
            <input type="checkbox" checked={screen_reader} onChange={(event) => change({ screen_reader: event.currentTarget.checked })} />
          </label>
          <p class="help">Ctrl+F6 moves between the list, the bar and the terminal. Ctrl+Shift+C copies, Ctrl+Shift+F searches, Ctrl+Shift+H looks back.</p>
          {signIn.state === "in" && signIn.principal.role === "owner" && (
            <div class="field-row">
              <span>For all clients</span>
              <button type="button" class="button small" data-testid="baton-settings" onClick={() => {
                menu.current?.removeAttribute("open");
                all.value = true;
              }}>Baton's settings…</button>
            </div>
          )}
          {signIn.state === "in" && (
            <div class="field-row">
              <span class="muted">Signed in as {signIn.principal.name}</span>
              <button type="button" class="button small" onClick={() => void store.signOut()}>Sign out</button>
            </div>
          )}
        </div>
      </details>
      {all.value && <BatonSettingsDialog onClose={() => (all.value = false)} />}
    </>
  );
}
