/** What stands beside the terminal: one panel at a time, the terminal goes on behind it. */

import type { ComponentType } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { ApprovalsButton } from "../approvals/approvals_button";
import { CloseIcon } from "../ui/icons";
import { lazy } from "../ui/lazy";
import { store, type PanelName } from "../state";
import "./side_panel.css";

interface Panel {
  title: string;
  button: ComponentType | null;
  Body: ComponentType;
}

const PANELS: Readonly<Record<PanelName, Panel>> = {
  approvals: { title: "Approvals", button: ApprovalsButton, Body: lazy("Approvals", async () => (await import("../approvals/approvals_panel")).ApprovalsPanel) },
  logs: { title: "Logs", button: null, Body: lazy("Logs", async () => (await import("../logs/logs_panel")).LogsPanel) },
  audit: { title: "Audit", button: null, Body: lazy("Audit", async () => (await import("../audit/audit_panel")).AuditPanel) },
};

/** Opens the panel, or closes it when it is the open one. */
export function togglePanel(name: PanelName): void {
  store.panel.value = store.panel.peek() === name ? null : name;
}

export function PanelButtons() {
  return (
    <>
      {(Object.keys(PANELS) as PanelName[]).map((name) => <PanelButton key={name} name={name} />)}
    </>
  );
}

function PanelButton({ name }: { name: PanelName }) {
  const { title, button: Inside } = PANELS[name];
  return (
    <button
      type="button"
      class="button quiet panel-button"
      aria-expanded={store.panel.value === name}
      aria-controls="side-panel"
      data-testid={`panel-${name}`}
      onClick={() => togglePanel(name)}
    >
      {Inside ? <Inside /> : title}
    </button>
  );
}

export function SidePanel() {
  const name = store.panel.value;
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => heading.current?.focus(), [name]);
  if (name === null) return null;
  const { title, Body } = PANELS[name];
  const close = (): void => {
    store.panel.value = null;
    store.attachment.peek()?.focus();
  };
  return (
    <aside class="side-panel" id="side-panel" aria-labelledby="side-panel-title" data-testid="side-panel" data-panel={name} onKeyDown={(event) => event.key === "Escape" && !event.defaultPrevented && close()}>
      <div class="side-panel-head">
        <h2 id="side-panel-title" ref={heading} tabIndex={-1}>{title}</h2>
        <button type="button" class="icon-button" aria-label={`Close ${title}`} data-testid="close-panel" onClick={close}><CloseIcon /></button>
      </div>
      <div class="side-panel-body"><Body /></div>
    </aside>
  );
}
