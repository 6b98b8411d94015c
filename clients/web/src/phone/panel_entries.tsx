/** The panels that a phone's bar has no room for, in the session's menu. */

import { togglePanel } from "../desk/side_panel";
import { store, type PanelName } from "../state";

const ENTRIES: readonly { name: PanelName; title: string }[] = [
  { name: "logs", title: "Logs" },
  { name: "audit", title: "Audit" },
];

export function PanelEntries({ onDone }: { onDone(): void }) {
  const choose = (name: PanelName) => (): void => {
    onDone();
    togglePanel(name);
  };
  return (
    <>
      {ENTRIES.map(({ name, title }) => (
        <button key={name} type="button" class="button quiet panel-entry" aria-expanded={store.panel.value === name} aria-controls="side-panel" data-testid={`menu-panel-${name}`} onClick={choose(name)}>
          {title}
        </button>
      ))}
    </>
  );
}
