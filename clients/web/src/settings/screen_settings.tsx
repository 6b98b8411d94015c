/** Everything that only matters to this screen, in sections, with a sample of what it makes. */

import { useId } from "preact/hooks";
import { Dialog } from "../ui/dialog";
import { store } from "../state";
import { change, Choice, FontSize, Switch, ThemeChoice } from "./controls";
import { PALETTES, paletteOf, type PaletteName } from "./palettes";
import { DEFAULTS, fontFamily, FONTS, LINE_HEIGHTS, plainFont, SCROLLBACKS } from "./settings";
import "./screen_settings.css";

export function ScreenSettingsDialog({ onClose }: { onClose(): void }) {
  return (
    <Dialog title="Terminal settings" onClose={onClose}>
      <p class="help">For this browser only. What you change holds at once.</p>
      <div class="settings-sections">
        <Looks />
        <Typing />
        <Clipboard />
        <Sound />
      </div>
      <div class="dialog-actions settings-actions">
        <button type="button" class="button" data-testid="settings-defaults" onClick={() => change(DEFAULTS)}>Back to the defaults</button>
        <button type="button" class="button primary" onClick={onClose}>Done</button>
      </div>
    </Dialog>
  );
}

function Looks() {
  const settings = store.settings.value;
  return (
    <section aria-labelledby="settings-looks">
      <h3 id="settings-looks">Looks</h3>
      <Sample />
      <ThemeChoice name="theme" />
      <Choice
        name="palette"
        legend="Terminal colours"
        value={settings.palette}
        options={(Object.keys(PALETTES) as PaletteName[]).map((value) => ({ value, label: PALETTES[value].label }))}
        choose={(palette) => change({ palette })}
      />
      <FontSize />
      <FontFamily />
      <Choice
        name="line-height"
        legend="Line height"
        value={settings.line_height}
        options={LINE_HEIGHTS.map((value) => ({ value, label: String(value) }))}
        choose={(line_height) => change({ line_height })}
      />
      <Choice
        name="cursor"
        legend="Cursor"
        value={settings.cursor}
        options={[{ value: "block", label: "Block" }, { value: "bar", label: "Bar" }, { value: "underline", label: "Underline" }]}
        choose={(cursor) => change({ cursor })}
      />
      <Switch of="cursor_blink">The cursor blinks</Switch>
    </section>
  );
}

/** A few lines in the colours and the font that were chosen. */
function Sample() {
  const settings = store.settings.value;
  const palette = paletteOf(settings, store.shade.value);
  const { background, foreground, green, blue, red, yellow, cursor } = palette;
  const style = { background, color: foreground, fontFamily: fontFamily(settings), fontSize: `${settings.font_px}px`, lineHeight: String(settings.line_height * 1.17) };
  return (
    <pre class="settings-sample" style={style} role="img" aria-label="A sample of the terminal">
      <span style={{ color: green }}>you@host</span> <span style={{ color: blue }}>~/project</span> $ cargo test{"\n"}
      <span style={{ color: red }}>error:</span> expected `0O1lI|`{"\n"}
      <span style={{ color: yellow }}>warning:</span> naïve → {"{}[]()"} <span class={`sample-cursor ${settings.cursor}`} style={{ borderColor: cursor, background: settings.cursor === "block" ? cursor : "transparent" }}> </span>
    </pre>
  );
}

function FontFamily() {
  const id = useId();
  const { font_family } = store.settings.value;
  return (
    <label class="field">
      <span>Font</span>
      <input type="text" list={id} maxLength={100} placeholder="The system's own" data-testid="font-family" value={font_family} onInput={(event) => change({ font_family: plainFont(event.currentTarget.value) })} />
      <datalist id={id}>{FONTS.map((font) => <option key={font} value={font} />)}</datalist>
      <span class="help">A family that this machine has; several with commas between. Without it the system's own monospace is taken.</span>
    </label>
  );
}

function Typing() {
  const settings = store.settings.value;
  return (
    <section aria-labelledby="settings-typing">
      <h3 id="settings-typing">Typing and reading</h3>
      <Choice
        name="echo"
        legend="Show keys before the answer comes"
        value={settings.echo}
        options={[{ value: "auto", label: "When the way is slow" }, { value: "always", label: "Always" }, { value: "never", label: "Never" }]}
        choose={(echo) => change({ echo })}
        help="Underlined until the program confirms them; nothing where it does not echo, as for a password. Slow is more than 60 ms."
      />
      <Choice
        name="scrollback"
        legend="Lines kept above the screen"
        value={settings.scrollback}
        options={SCROLLBACKS.map((value) => ({ value, label: value.toLocaleString("en") }))}
        choose={(scrollback) => change({ scrollback })}
        help="“History” goes back to everything, whatever is kept here."
      />
      <Switch of="screen_reader">Screen reader mode</Switch>
      <Switch of="option_as_meta" help="On a Mac: off types the characters that Option makes.">Option is Meta</Switch>
    </section>
  );
}

function Clipboard() {
  return (
    <section aria-labelledby="settings-clipboard">
      <h3 id="settings-clipboard">Clipboard</h3>
      <Choice
        name="clipboard"
        legend="A program wants to set the clipboard"
        value={store.settings.value.clipboard}
        options={[{ value: "ask", label: "Ask" }, { value: "allow", label: "Allow" }, { value: "deny", label: "Deny" }]}
        choose={(clipboard) => change({ clipboard })}
        help="Only while you have control. No program ever reads it."
      />
      <Switch of="copy_on_select">Copy what is marked</Switch>
      <Switch of="paste_guard" help="Several lines into a program that runs each, more than 5 KiB, or characters that are not seen.">Ask before a risky paste</Switch>
    </section>
  );
}

function Sound() {
  return (
    <section aria-labelledby="settings-bell">
      <h3 id="settings-bell">Bell</h3>
      <Choice
        name="bell"
        legend="When a program rings"
        value={store.settings.value.bell}
        options={[{ value: "none", label: "Nothing" }, { value: "flash", label: "Light up the edge" }]}
        choose={(bell) => change({ bell })}
      />
    </section>
  );
}
