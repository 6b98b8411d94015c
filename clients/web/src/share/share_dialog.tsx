/** A link to watch one session: what it shows, how long, and how to take it back. */

import { useSignal } from "@preact/signals";
import type { Link, ShareFrom } from "../api/links";
import { messageOf } from "../api/requests";
import type { Session } from "../api/protocol";
import { store } from "../state";
import { halfMinute } from "../ui/clock";
import { Dialog } from "../ui/dialog";
import { sessionName } from "../ui/words";
import { plainText } from "../ui/plain_text";
import { leftText } from "./addresses";
import { CopyField } from "./copy_field";
import { LoopbackNote } from "./loopback_note";
import type { MadeLink } from "./made_links";
import { QrCode } from "./qr";
import "./share.css";

const TTLS: readonly { seconds: number; label: string }[] = [
  { seconds: 900, label: "15 minutes" },
  { seconds: 3_600, label: "1 hour" },
  { seconds: 86_400, label: "1 day" },
  { seconds: 7 * 86_400, label: "7 days" },
  { seconds: 30 * 86_400, label: "30 days" },
];

export function ShareDialog({ session, onClose }: { session: Session; onClose(): void }) {
  const from = useSignal<ShareFrom>("here");
  const ttl = useSignal(86_400);
  const link = useSignal<Link | null>(null);
  const problem = useSignal<string | null>(null);
  const busy = useSignal(false);
  const { made } = store.share;

  const run = async (act: () => Promise<void>): Promise<void> => {
    if (busy.value) return;
    [busy.value, problem.value] = [true, null];
    await act().catch((error: unknown) => (problem.value = messageOf(error)));
    busy.value = false;
  };
  const create = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      const fresh = await store.client.links.share(session.id, from.value, ttl.value);
      made.add({ id: fresh.id, session: session.id, from: from.value, expires_at: fresh.expires_at }, Date.now());
      link.value = fresh;
    });
  };
  const takeBack = (id: string): void => void run(async () => {
    await store.client.links.takeBack(id);
    made.remove(id);
    if (link.value?.id === id) link.value = null;
  });
  const links = made.of(session.id, halfMinute.value);
  return (
    <Dialog title={`Share “${plainText(sessionName(session))}”`} onClose={onClose}>
      <p>Whoever has the link <strong>watches this session and nothing else</strong>. They cannot type, take control, or see your other sessions.</p>
      {problem.value && <p class="message" role="alert" data-testid="share-problem">{problem.value}</p>}
      {link.value ? (
        <Made link={link.value} onAnother={() => (link.value = null)} />
      ) : (
        <form onSubmit={create}>
          <fieldset class="choices">
            <legend>What they see</legend>
            <label><input type="radio" name="share-from" checked={from.value === "here"} onChange={() => (from.value = "here")} /><span>From here on<span class="help">Nothing of before. Their terminal begins empty.</span></span></label>
            <label><input type="radio" name="share-from" checked={from.value === "start"} onChange={() => (from.value = "start")} /><span>From the start<span class="help">All that is kept, also what scrolled away: keys or passwords that were printed too.</span></span></label>
          </fieldset>
          <label class="field">
            <span>For how long</span>
            <select data-testid="share-ttl" value={String(ttl.value)} onChange={(event) => (ttl.value = Number(event.currentTarget.value))}>
              {TTLS.map(({ seconds, label }) => <option key={seconds} value={String(seconds)}>{label}</option>)}
            </select>
          </label>
          <button type="submit" class="button primary wide" data-testid="share-create" disabled={busy.value}>{busy.value ? "Making it…" : "Make the link"}</button>
        </form>
      )}
      {links.length > 0 && <Links links={links} busy={busy.value} onTakeBack={takeBack} />}
      <div class="dialog-actions">
        <button type="button" class="button" data-testid="share-close" onClick={onClose}>Close</button>
      </div>
    </Dialog>
  );
}

function Made({ link, onAnother }: { link: Link; onAnother(): void }) {
  return (
    <div class="made" data-testid="share-made">
      <LoopbackNote url={link.url} />
      <CopyField label="The link, shown only now" value={link.url} testId="share-url" />
      <QrCode text={link.url} label="QR code of the link to watch this session" />
      <button type="button" class="button quiet" onClick={onAnother}>Make another</button>
    </div>
  );
}

function Links({ links, busy, onTakeBack }: { links: readonly MadeLink[]; busy: boolean; onTakeBack(id: string): void }) {
  const now = halfMinute.value;
  return (
    <>
      <h3>Links that were made here</h3>
      <ul class="links" data-testid="share-links">
        {links.map((link) => (
          <li key={link.id} class="field-row" data-link={link.id}>
            <span>{link.from === "here" ? "From the moment it was made" : "From the start"}<span class="help"> · {leftText((Date.parse(link.expires_at) - now) / 1000)} left</span></span>
            <button type="button" class="button small" data-testid="share-take-back" disabled={busy} onClick={() => onTakeBack(link.id)}>Take back</button>
          </li>
        ))}
      </ul>
      <p class="help">Taking one back cuts off whoever watches by it, at once. <code>baton share --revoke</code> does it for those made elsewhere.</p>
    </>
  );
}
