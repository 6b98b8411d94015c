/** Something to take along: shown whole, and copied by a press. */

import { useSignal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";
import { copyText } from "../clipboard/copy";

const SAID_MS = 2_500;

export function CopyField({ label, value, testId }: { label: string; value: string; testId: string }) {
  const said = useSignal<"copied" | "refused" | null>(null);
  const id = useId();
  useEffect(() => {
    if (said.value === null) return undefined;
    const timer = setTimeout(() => (said.value = null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said.value]);
  const copy = async (): Promise<void> => {
    said.value = (await copyText(value)) ? "copied" : "refused";
  };
  return (
    <div class="copy-field">
      <label for={id}>{label}</label>
      <span class="copy-row">
        <input id={id} class="mono" readOnly value={value} data-testid={testId} onFocus={(event) => event.currentTarget.select()} />
        <button type="button" class="button" aria-label={`Copy: ${label}`} data-testid={`${testId}-copy`} onClick={() => void copy()}>{said.value === "copied" ? "Copied" : "Copy"}</button>
      </span>
      <span class="help" role="status">{said.value === "refused" && "The browser did not let this page copy. Select it and copy by hand."}</span>
    </div>
  );
}
