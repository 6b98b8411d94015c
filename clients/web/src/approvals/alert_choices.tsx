/** Whether somebody who looks elsewhere is told. Off until asked for. */

import { useSignal } from "@preact/signals";
import { store } from "../state";
import { askToNotify, mayNotify } from "./browser_alerts";
import { chime, prepareChime } from "./chime";

export function AlertChoices() {
  const { sound, notify } = store.alerts.settings.value;
  const refused = useSignal(false);
  const wantNotices = async (wanted: boolean): Promise<void> => {
    const allowed = wanted && (mayNotify() || (await askToNotify()));
    refused.value = wanted && !allowed;
    store.alerts.change({ notify: allowed });
  };
  return (
    <fieldset class="alert-choices">
      <legend>While you look elsewhere</legend>
      <label>
        <input type="checkbox" data-testid="alert-sound" checked={sound} onChange={(event) => {
          const wanted = event.currentTarget.checked;
          store.alerts.change({ sound: wanted });
          prepareChime();
          // Heard once, so that it is known.
          if (wanted) chime();
        }} /> a sound
      </label>
      <label>
        <input type="checkbox" data-testid="alert-notify" checked={notify && mayNotify()} onChange={(event) => void wantNotices(event.currentTarget.checked)} /> a notification
      </label>
      {refused.value && <p class="help" role="status">The browser does not let this page notify. Its settings for this site do.</p>}
    </fieldset>
  );
}
