/** The ways out of this tab, beside who watches; what they ask is fetched when it is asked. */

import { useRef } from "preact/hooks";
import type { Session } from "../api/protocol";
import { store } from "../state";
import { lazy } from "../ui/lazy";
import { ShareIcon } from "./share_icon";

const Share = lazy("Sharing", async () => {
  const { ShareDialog } = await import("./share_dialog");
  return () => store.current.value && <ShareDialog session={store.current.value} onClose={closed} />;
});
const Elsewhere = lazy("The other places", async () => {
  const { ElsewhereDialog } = await import("./elsewhere_dialog");
  return () => store.current.value && <ElsewhereDialog session={store.current.value} onClose={closed} />;
});

function closed(): void {
  store.share.open.value = null;
}

export function ShareMenu({ session }: { session: Session }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const { value: signIn } = store.signIn;
  const mayShare = signIn.state === "in" && (signIn.principal.role === "owner" || signIn.principal.role === "collaborator");
  const choose = (what: "watch" | "elsewhere") => (): void => {
    menu.current?.removeAttribute("open");
    store.share.open.value = what;
  };
  const open = store.share.open.value;
  return (
    <>
      <details class="menu share-menu" ref={menu} onKeyDown={(event) => event.key === "Escape" && menu.current?.removeAttribute("open")}>
        <summary class="button small quiet" data-testid="share-menu" aria-label={`Share or open ${session.title || "this session"} elsewhere`}>
          <ShareIcon /><span class="wide-only">Share</span>
        </summary>
        <div class="menu-body narrow">
          {mayShare && <button type="button" class="button quiet" data-testid="share-open" onClick={choose("watch")}>Share a link to watch…</button>}
          <button type="button" class="button quiet" data-testid="elsewhere-open" onClick={choose("elsewhere")}>Open elsewhere…</button>
        </div>
      </details>
      {open === "watch" && <Share />}
      {open === "elsewhere" && <Elsewhere />}
    </>
  );
}
