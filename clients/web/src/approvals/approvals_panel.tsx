/** The panel: the list, or one request of it. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { store } from "../state";
import { ApprovalDetail, isTyping, showBeside } from "./approval_detail";
import { ApprovalList, moveFocus } from "./approval_list";
import "./approvals.css";

export function ApprovalsPanel() {
  const shown = store.inbox.shown.value;
  const last = useRef<string | null>(null);
  const from = last.current;
  useEffect(() => void (last.current = shown), [shown]);
  // The next opening begins with the list.
  useEffect(() => () => void (store.inbox.shown.value = null), []);
  const root = useRef<HTMLDivElement>(null);
  // As soon as there is something to move among.
  useLayoutEffect(() => {
    // The panel's title too, where the focus is when it opens.
    const panel = root.current?.closest<HTMLElement>(".side-panel");
    const pressed = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const { value: open } = store.inbox.shown;
      if (open) showBeside(open, event.key);
      else moveFocus(event, root.current);
    };
    panel?.addEventListener("keydown", pressed);
    return () => panel?.removeEventListener("keydown", pressed);
  }, []);
  return <div class="approvals" ref={root} data-testid="approvals">{shown ? <ApprovalDetail key={shown} id={shown} /> : <ApprovalList from={from} />}</div>;
}
