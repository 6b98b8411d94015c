/** The same session somewhere else: the desktop, a terminal, another browser, one's own phone. */

import { useSignal } from "@preact/signals";
import type { Link } from "../api/links";
import { messageOf } from "../api/requests";
import type { Session } from "../api/protocol";
import { store } from "../state";
import { second } from "../ui/clock";
import { Dialog } from "../ui/dialog";
import { sessionName } from "../ui/words";
import { plainText } from "../ui/plain_text";
import { attachCommand, desktopAddress, pageAddress } from "./addresses";
import { CopyField } from "./copy_field";
import { LoopbackNote } from "./loopback_note";
import { QrCode } from "./qr";
import "./share.css";

export function ElsewhereDialog({ session, onClose }: { session: Session; onClose(): void }) {
  const { value: signIn } = store.signIn;
  const mayLink = signIn.state === "in" && signIn.principal.role !== "viewer";
  return (
    <Dialog title={`Open “${plainText(sessionName(session))}” elsewhere`} onClose={onClose}>
      <p class="help">It goes on here as well. Who has control is decided as always: by Claim, Release and Take control.</p>
      <h3>In Desktop</h3>
      <p><a class="button" href={desktopAddress(session.id)} data-testid="open-in-desktop">Open in Desktop</a></p>
      <p class="help">Nothing happens? Then no program here opens <code>baton://</code> addresses: Baton's desktop window is not installed on this device. The ways below need nothing more.</p>
      <h3>In a terminal</h3>
      <CopyField label="Command" value={attachCommand(session)} testId="attach-command" />
      <h3>In another browser</h3>
      <CopyField label="Address, for who is signed in there" value={pageAddress(location.origin, session.id)} testId="page-address" />
      {mayLink && <OnPhone session={session} />}
      <div class="dialog-actions">
        <button type="button" class="button" data-testid="elsewhere-close" onClick={onClose}>Close</button>
      </div>
    </Dialog>
  );
}

/** A code that signs in as oneself is shown when it is asked for, and no longer than it works. */
function OnPhone({ session }: { session: Session }) {
  const link = useSignal<Link | null>(null);
  const problem = useSignal<string | null>(null);
  const busy = useSignal(false);
  const show = async (): Promise<void> => {
    if (busy.value) return;
    [busy.value, problem.value] = [true, null];
    try {
      link.value = await store.client.links.login(session.id);
    } catch (error) {
      problem.value = messageOf(error);
    }
    busy.value = false;
  };
  const left = link.value ? Math.ceil((Date.parse(link.value.expires_at) - Math.max(second.value, Date.now())) / 1000) : 0;
  return (
    <>
      <h3>On your phone</h3>
      <LoopbackNote url={location.origin} />
      {link.value && left > 0 ? (
        <div class="made" data-testid="phone-code">
          <QrCode text={link.value.url} label="QR code that signs you in on your phone, once" />
          <p data-testid="phone-left">Scan it within <strong>{left} s</strong>. It works once, and signs in <strong>as you</strong>: show it to nobody.</p>
        </div>
      ) : (
        <>
          <p class="help">{link.value ? "The code has expired." : "A code for the camera signs your phone in as you, once, within a minute. Whoever else scans it is you: mind who sees the screen."}</p>
          <p><button type="button" class="button" data-testid="phone-show" disabled={busy.value} onClick={() => void show()}>{link.value ? "Show a new code" : "Show the code"}</button></p>
        </>
      )}
      {problem.value && <p class="message" role="alert">{problem.value}</p>}
    </>
  );
}
