/** What happened, in one line each; nothing is refused without one. */

import { CloseIcon } from "../ui/icons";
import { store } from "../state";
import "./notices.css";

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {store.notices.value.map(({ id, text, tone }) => (
        <div key={id} class={`notice ${tone}`} data-testid="notice">
          <span>{text}</span>
          <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => store.dismiss(id)}><CloseIcon /></button>
        </div>
      ))}
    </div>
  );
}
