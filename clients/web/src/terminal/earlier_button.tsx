/** The way to the lines above a screen that was sent without them. */

import type { Attachment } from "./attachment";

export function EarlierButton({ attachment }: { attachment: Attachment }) {
  const state = attachment.earlier.state.value;
  if (state !== "offered" && state !== "loading") return null;
  return (
    <div class="over-terminal at-top earlier">
      <button type="button" class="button small" data-testid="load-earlier" disabled={state === "loading"} onClick={() => void attachment.earlier.load()}>
        {state === "loading" ? "Loading earlier output…" : "Load earlier output"}
      </button>
    </div>
  );
}
