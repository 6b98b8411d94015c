/** What is changed most of this screen's looks, and the ways to everything else. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { BatonSettingsDialog } from "./baton_settings";
import { FontSize, ThemeChoice } from "./controls";
import { GearIcon } from "../ui/icons";
import { ScreenSettingsDialog } from "./screen_settings";
import { Keys } from "./keys";
import { store } from "../state";

export function SettingsMenu() {
  const menu = useRef<HTMLDetailsElement>(null);
  const shown = useSignal<"screen" | "all" | null>(null);
  const { value: signIn } = store.signIn;
  const show = (which: "screen" | "all"): void => {
    // Where the focus comes back to.
    menu.current?.querySelector("summary")?.focus();
    menu.current?.removeAttribute("open");
    shown.value = which;
  };
  const close = (): void => void (shown.value = null);
  return (
    <>
      <details class="menu" ref={menu} onKeyDown={(event) => event.key === "Escape" && menu.current?.removeAttribute("open")}>
        <summary class="icon-button" data-testid="settings-menu" aria-label="Settings" title="Settings"><GearIcon /></summary>
        <div class="menu-body">
          <ThemeChoice name="menu-theme" />
          <FontSize />
          <div class="field-row">
            <span>This screen</span>
            <button type="button" class="button small" data-testid="screen-settings" onClick={() => show("screen")}>Terminal settings…</button>
          </div>
          {signIn.state === "in" && signIn.principal.role === "owner" && (
            <div class="field-row">
              <span>For all clients</span>
              <button type="button" class="button small" data-testid="baton-settings" onClick={() => show("all")}>Baton's settings…</button>
            </div>
          )}
          <Keys />
          {signIn.state === "in" && (
            <div class="field-row">
              <span class="muted">Signed in as {signIn.principal.name}</span>
              <button type="button" class="button small" onClick={() => void store.signOut()}>Sign out</button>
            </div>
          )}
        </div>
      </details>
      {shown.value === "screen" && <ScreenSettingsDialog onClose={close} />}
      {shown.value === "all" && <BatonSettingsDialog onClose={close} />}
    </>
  );
}
