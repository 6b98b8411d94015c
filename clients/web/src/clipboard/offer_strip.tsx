/** A program wants to set the clipboard: what it would put there, and the answers. */

import type { Attachment } from "../terminal/attachment";
import { Spelled } from "../ui/spelled";
import "./offer_strip.css";

const CHARS_SHOWN = 200;

export function ClipboardStrip({ attachment }: { attachment: Attachment }) {
  const text = attachment.clipboard.offer.value;
  if (text === null) return null;
  const seen = attachment.clipboard.seen.value;
  const chars = [...text];
  const answer = (how: "once" | "always" | "deny"): void => {
    attachment.clipboard.answer(how);
    attachment.focus();
  };
  return (
    <div class="strip clipboard-offer" role="group" aria-label="The program wants your clipboard" data-testid="clipboard-offer">
      <span role="status">The program wants to put {chars.length === 1 ? "1 character" : `${chars.length} characters`} on your clipboard:</span>
      <code class="clipboard-text" data-testid="clipboard-text"><Spelled text={chars.slice(0, CHARS_SHOWN).join("")} how="lines" />{chars.length > CHARS_SHOWN && "…"}</code>
      <span class="strip-actions">
        <button type="button" class="button small" data-testid="clipboard-once" disabled={!seen} onClick={() => answer("once")}>Allow once</button>
        <button type="button" class="button small" data-testid="clipboard-always" disabled={!seen} onClick={() => answer("always")}>Always for this session</button>
        <button type="button" class="button small" data-testid="clipboard-deny" onClick={() => answer("deny")}>Deny</button>
      </span>
    </div>
  );
}
