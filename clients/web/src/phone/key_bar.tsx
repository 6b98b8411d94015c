/** Keys a phone's keyboard lacks, above it. Pressing one never takes the focus: that would close the keyboard. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Attachment } from "../terminal/attachment";
import { keyBytes, type KeyName } from "./keys";
import type { Hold } from "./modifiers";
import { PasteDialog, readClipboard } from "./paste";
import { Repeat } from "./repeat";
import "./phone.css";

export function KeyBar({ attachment }: { attachment: Attachment }) {
  const more = useSignal(false);
  const pasting = useSignal(false);
  const { screen, modifiers } = attachment;
  const press = (data: string) => (): void => screen.term.input(data, true);
  const key = (name: KeyName) => (): void => press(keyBytes(name, screen.term.modes.applicationCursorKeysMode))();
  const paste = async (): Promise<void> => {
    const text = await readClipboard();
    if (text === null) pasting.value = true;
    else attachment.paste(text);
  };
  // Who may only watch has nothing to press, but something to read.
  if (attachment.watchOnly) return <div class="key-bar" role="toolbar" aria-label="Reading" data-testid="key-bar" data-watching><ReadingSize attachment={attachment} /></div>;
  return (
    <div class="key-bar" role="toolbar" aria-label="Keys" data-testid="key-bar">
      <Key name="Esc, Escape" label="Esc" onPress={key("escape")} />
      <Key name="Tab" label="Tab" onPress={key("tab")} />
      <Modifier name="Ctrl" label="Ctrl" hold={modifiers.ctrl.value} onPress={({ timeStamp }) => modifiers.tap("ctrl", timeStamp)} />
      <Modifier name="Alt" label="Alt" hold={modifiers.alt.value} onPress={({ timeStamp }) => modifiers.tap("alt", timeStamp)} />
      <Key name="Up" label="↑" repeats onPress={key("up")} />
      <Key name="Paste" label="Paste" onPress={() => void paste()} />
      <Key name="More keys" label="•••" pressed={more.value} onPress={() => (more.value = !more.value)} />
      <Key name="Shift Tab" label="⇧Tab" onPress={key("back_tab")} />
      <ReadingSize attachment={attachment} />
      <Key name="Control C" label="^C" onPress={press("\x03")} />
      <Key name="Left" label="←" repeats onPress={key("left")} />
      <Key name="Down" label="↓" repeats onPress={key("down")} />
      <Key name="Right" label="→" repeats onPress={key("right")} />
      <Key name="Enter" label="⏎" onPress={press("\r")} />
      {more.value && (
        <>
          <Key name="Home" label="Home" onPress={key("home")} />
          <Key name="End" label="End" onPress={key("end")} />
          <Key name="PgUp, page up" label="PgUp" repeats onPress={key("page_up")} />
          <Key name="PgDn, page down" label="PgDn" repeats onPress={key("page_down")} />
          {["|", "/", "~"].map((sign) => <Key key={sign} name={sign} label={sign} onPress={press(sign)} />)}
        </>
      )}
      {pasting.value && <PasteDialog onPaste={(text) => attachment.paste(text)} onClose={() => (pasting.value = false)} />}
    </div>
  );
}

function ReadingSize({ attachment: { screen } }: { attachment: Attachment }) {
  const large = screen.zoom.value !== null;
  return <Key name={large ? "Fit the screen into the window" : "A+, show the screen at reading size"} label={large ? "Fit" : "A+"} pressed={large} onPress={() => screen.setZoom(large ? null : screen.readingSize)} />;
}

const HOLDS: Readonly<Record<Hold, string>> = { off: "for the next key", once: "held for the next key", locked: "locked" };

function Modifier({ name, label, hold, onPress }: { name: string; label: string; hold: Hold; onPress(event: Event): void }) {
  return <Key name={`${name}, ${HOLDS[hold]}`} label={hold === "locked" ? `${label}●` : label} pressed={hold !== "off"} hold={hold} onPress={onPress} />;
}

interface KeyProps {
  name: string;
  label: string;
  pressed?: boolean;
  hold?: Hold;
  /** Held down it goes on pressing. */
  repeats?: boolean;
  onPress(event: Event): void;
}

function Key({ name, label, pressed, hold, repeats = false, onPress }: KeyProps) {
  const repeat = useSignal<Repeat | null>(null);
  const stop = (): void => {
    repeat.peek()?.stop();
    repeat.value = null;
  };
  useEffect(() => stop, []);
  const down = (event: PointerEvent): void => {
    event.preventDefault();
    if (!repeats || event.button !== 0) return;
    stop();
    repeat.value = new Repeat(() => onPress(event));
  };
  const click = (event: MouseEvent): void => {
    // What a pointer held down was pressed already; a click without one is a keyboard's or a screen reader's.
    if (!repeats || event.detail === 0) onPress(event);
  };
  return (
    <button
      type="button"
      class="key"
      aria-label={name}
      aria-pressed={pressed}
      data-hold={hold}
      onPointerDown={down}
      onPointerUp={stop}
      onPointerCancel={stop}
      onPointerLeave={stop}
      onMouseDown={(event) => event.preventDefault()}
      onContextMenu={(event) => event.preventDefault()}
      onClick={click}
    >
      {label}
    </button>
  );
}
