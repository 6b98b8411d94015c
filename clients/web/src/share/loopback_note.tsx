/** An address of this machine is of no use on another: said before somebody scans it in vain. */

import { isLoopback, portOf } from "./addresses";

export function LoopbackNote({ url }: { url: string }) {
  if (!isLoopback(new URL(url).hostname)) return null;
  return (
    <p class="note" data-testid="loopback-note">
      This address leads to this machine only: a phone or another computer cannot open it. Make a way in first, for example with
      {" "}<code>tailscale serve --bg {portOf(url)}</code>, open Baton by the address that it prints, and make the link there.
      “From other machines” in Baton's <code>docs/operations.md</code> has this and two other ways.
    </p>
  );
}
