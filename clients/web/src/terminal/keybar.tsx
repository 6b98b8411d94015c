/** Keys a phone's keyboard lacks. */

import type { Attachment } from "./attachment";

const ARROWS = [
  { label: "←", name: "Left", letter: "D" },
  { label: "↓", name: "Down", letter: "B" },
  { label: "↑", name: "Up", letter: "A" },
  { label: "→", name: "Right", letter: "C" },
] as const;

export function KeyBar({ attachment }: { attachment: Attachment }) {
  const { term } = attachment.screen;
  const press = (data: string): void => term.input(data, true);
  const arrow = (letter: string): void => press(`\x1b${term.modes.applicationCursorKeysMode ? "O" : "["}${letter}`);
  return (
    <div class="key-bar" role="toolbar" aria-label="Keys">
      <Key name="Escape" label="Esc" onPress={() => press("\x1b")} />
      <Key name="Tab" label="Tab" onPress={() => press("\t")} />
      <Key name="Control, with the next key" label="Ctrl" pressed={attachment.ctrlHeld.value} onPress={() => (attachment.ctrlHeld.value = !attachment.ctrlHeld.value)} />
      {ARROWS.map(({ label, name, letter }) => <Key key={letter} name={name} label={label} onPress={() => arrow(letter)} />)}
    </div>
  );
}

interface KeyProps {
  name: string;
  label: string;
  pressed?: boolean;
  onPress(): void;
}

/** Pressing must not take the focus: that would close the phone's keyboard. */
function Key({ name, label, pressed, onPress }: KeyProps) {
  return (
    <button
      type="button"
      class="key"
      aria-label={name}
      aria-pressed={pressed}
      onPointerDown={(event) => event.preventDefault()}
      onClick={onPress}
    >
      {label}
    </button>
  );
}
