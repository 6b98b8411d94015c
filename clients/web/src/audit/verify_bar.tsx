/** Asks the bridge to check the whole chain, and says what came of it. */

import { store } from "../state";
import { second } from "../ui/clock";
import { clockText, durationText } from "../ui/words";
import { plainText } from "../ui/plain_text";
import type { AuditVerification } from "../api/protocol";

export function VerifyBar() {
  const { audit } = store;
  const { value } = audit.verification;
  const checking = value.state === "checking";
  return (
    <section class="verify" aria-label="Check of the chain" data-testid="audit-verification" data-state={value.state} data-ok={value.state === "checked" ? value.answer.ok : undefined}>
      <div class="verify-line">
        <button type="button" class="button small primary" disabled={checking} data-testid="audit-verify" onClick={() => void audit.verify()}>Verify</button>
        {value.state === "none" && <span class="muted verify-help">Each row carries the hash of the one before: a change shows.</span>}
        {checking && (
          <>
            <progress class="verify-progress" aria-label="Checking every row" />
            <span class="muted">{durationText(Math.max(0, second.value - value.since))}</span>
            <button type="button" class="button small quiet" onClick={() => audit.cancelVerify()}>Cancel</button>
          </>
        )}
      </div>
      <div role="status">
        {value.state === "checked" && (value.answer.ok ? <Whole answer={value.answer} at={value.at} took={value.took} /> : <Broken answer={value.answer} />)}
        {value.state === "failed" && <p class="message">It could not be checked: {value.why}</p>}
      </div>
    </section>
  );
}

function Whole({ answer, at, took }: { answer: AuditVerification; at: number; took: number }) {
  const rows = answer.rows === 1 ? "The one row is" : `All ${answer.rows.toLocaleString()} rows are`;
  return (
    <div class="verify-good">
      <p><strong>{rows} as written.</strong> <span class="verify-when">Checked at {clockText(at, second.peek())} in {durationText(took)}.</span></p>
      {answer.compared === true && <p>The head that this browser knew is in it.</p>}
      {answer.sealed > 0 && <p>{answer.sealed.toLocaleString()} older rows are no longer kept; a signed seal stands for them.</p>}
      {answer.lost > 0 && <p>{answer.lost.toLocaleString()} rows could not be written: the disk was full, or the database failed.</p>}
      {answer.head && <p class="verify-head">Head: <code class="mono" data-testid="audit-head">{answer.head}</code></p>}
    </div>
  );
}

function Broken({ answer }: { answer: AuditVerification }) {
  const { audit } = store;
  const { broken } = answer;
  if (!broken) return null;
  return (
    <div class="verify-bad" data-testid="audit-broken">
      <p><strong>The chain breaks at row {broken.seq}.</strong> {plainText(`${broken.detail.charAt(0).toUpperCase()}${broken.detail.slice(1)}`)}. ({broken.why})</p>
      {broken.why === "not_as_expected"
        ? <p>This browser saw row {broken.seq} in an earlier check, and it was another then.</p>
        : <p>{answer.rows.toLocaleString()} rows before it are as written; of it and of those after it nothing is sure.</p>}
      <div class="verify-actions">
        <button type="button" class="button small" onClick={() => audit.around(broken.seq)}>Show row {broken.seq}</button>
        {broken.why === "not_as_expected" && (
          <button type="button" class="button small" title="Right when Baton was set up anew, or another Baton serves this address" data-testid="audit-forget-head" onClick={() => audit.forgetHead()}>
            Another log: forget what this browser knew
          </button>
        )}
      </div>
    </div>
  );
}
