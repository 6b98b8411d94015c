/** The controls that settings are made of; each changes the store at once, so that the page shows what was chosen. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { store } from "../state";
import { clampFont, FONT_PX, type Settings } from "./settings";

export function change(part: Partial<Settings>): void {
  store.settings.value = { ...store.settings.value, ...part };
}

interface ChoiceProps<T> {
  name: string;
  legend: string;
  options: readonly { value: T; label: string }[];
  value: T;
  help?: string;
  choose(value: T): void;
}

/** One of a few, all in sight. */
export function Choice<T extends string | number>({ name, legend, options, value, help, choose }: ChoiceProps<T>) {
  return (
    <fieldset class="segmented">
      <legend>{legend}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input type="radio" name={name} checked={value === option.value} onChange={() => choose(option.value)} />
          <span>{option.label}</span>
        </label>
      ))}
      {help && <p class="help">{help}</p>}
    </fieldset>
  );
}

type SwitchName = { [K in keyof Settings]: Settings[K] extends boolean ? K : never }[keyof Settings];

export function Switch({ of, help, children }: { of: SwitchName; help?: string; children: ComponentChildren }) {
  const helpId = useId();
  return (
    <div class="setting-switch">
      <label class="field-row check">
        <span>{children}</span>
        <input type="checkbox" data-testid={`setting-${of}`} checked={store.settings.value[of]} aria-describedby={help ? helpId : undefined} onChange={(event) => change({ [of]: event.currentTarget.checked })} />
      </label>
      {help && <p class="help" id={helpId}>{help}</p>}
    </div>
  );
}

export function ThemeChoice({ name }: { name: string }) {
  return (
    <Choice
      name={name}
      legend="Theme"
      value={store.settings.value.theme}
      options={[{ value: "system", label: "As the system" }, { value: "dark", label: "Dark" }, { value: "light", label: "Light" }]}
      choose={(theme) => change({ theme })}
    />
  );
}

export function FontSize() {
  const id = useId();
  const { font_px } = store.settings.value;
  return (
    <div class="field-row">
      <span id={id}>Text size</span>
      <span class="stepper" role="group" aria-labelledby={id}>
        <button type="button" class="button small" aria-label="A−, smaller text" disabled={font_px <= FONT_PX.least} onClick={() => change({ font_px: clampFont(font_px - 1) })}>A−</button>
        <output>{font_px}</output>
        <button type="button" class="button small" aria-label="A+, larger text" disabled={font_px >= FONT_PX.most} onClick={() => change({ font_px: clampFont(font_px + 1) })}>A+</button>
      </span>
    </div>
  );
}
