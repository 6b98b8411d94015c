/** Where a link leads: under the mouse, and before it is opened. */

import type { Attachment } from "./attachment";
import { Dialog } from "../ui/dialog";
import "./link_target.css";

export function LinkTarget({ attachment }: { attachment: Attachment }) {
  const { links } = attachment.screen;
  const asked = links.asked.value;
  const answer = (open: boolean): void => links.answer(open);
  return (
    <>
      {links.hovered.value && <div class="link-target mono" data-testid="link-target">{links.hovered.value}</div>}
      {asked && (
        <Dialog title="Open this link?" onClose={() => answer(false)}>
          <p>It leads to</p>
          <p class="link-asked mono" data-testid="link-asked">{asked}</p>
          <div class="dialog-actions">
            <button type="button" class="button" onClick={() => answer(false)}>Cancel</button>
            <button type="button" class="button primary" data-testid="link-open" onClick={() => answer(true)}>Open</button>
          </div>
        </Dialog>
      )}
    </>
  );
}
