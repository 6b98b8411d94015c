/** How long a request still waits: by the page's one clock, and by the bridge's time. */

import { useEffect } from "preact/hooks";
import { useComputed, useSignal } from "@preact/signals";
import type { Approval } from "../api/approvals";
import { store } from "../state";
import { second } from "../ui/clock";
import { leftText, leftWords, outcomeText } from "./words";

const HURRY_MS = 60_000;

export function Countdown({ approval }: { approval: Approval }) {
  const { expires_at } = approval;
  const ends = useSignal(0);
  ends.value = Date.parse(expires_at);
  const left = useComputed(() => ends.value - second.value - store.inbox.ahead.value);
  const text = useComputed(() => leftText(left.value));
  const words = useComputed(() => leftWords(left.value));
  const hurry = useComputed(() => left.value <= HURRY_MS);
  return (
    <span class="countdown" data-hurry={hurry.value} data-testid="countdown">
      <span aria-hidden="true">{text}{left.value > 0 && " left"}</span>
      <span class="visually-hidden">{words}</span>
    </span>
  );
}

/** Said to those who do not see it: once when the request on the screen is about to run out, and what becomes of it. */
export function Said({ approval }: { approval: Approval }) {
  const said = useSignal("");
  const ends = Date.parse(approval.expires_at);
  const { status } = approval;
  useEffect(() => {
    if (status !== "pending") {
      said.value = outcomeText(approval);
      return undefined;
    }
    return second.subscribe((now) => {
      const left = ends - now - store.inbox.ahead.peek();
      said.value = left > 0 && left <= HURRY_MS ? `This request: ${leftWords(left)}.` : "";
    });
  }, [status, ends]);
  return <p class="visually-hidden" role="status">{said}</p>;
}
