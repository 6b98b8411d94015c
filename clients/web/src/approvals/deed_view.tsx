/** What a request would do, exactly. */

import type { Approval } from "../api/approvals";
import { deedOf, commandLine, written, type Deed } from "./payload";
import { Spelled } from "../ui/spelled";
import { Diff, ShownBlock } from "./shown_text";

export function DeedView({ approval }: { approval: Approval }) {
  const deed = deedOf(approval.action, approval.payload);
  return (
    <>
      <Face deed={deed} approval={approval} />
      {approval.cwd && deed.kind !== "control" && deed.kind !== "page" && (
        <p class="deed-place"><span class="muted">in</span> <span class="mono" data-testid="approval-cwd"><Spelled text={approval.cwd} /></span></p>
      )}
      {deed.kind === "program" && <Wants wants={deed.wants} />}
      <Names approval={approval} />
      <details class="deed-whole" open={deed.kind === "other"}>
        <summary>Everything that it holds</summary>
        <ShownBlock text={written(approval.payload)} label="The whole request as JSON" testId="approval-whole" />
      </details>
    </>
  );
}

/** What a new session is to have. */
function Wants({ wants }: { wants: readonly [string, string][] }) {
  return (
    <dl class="deed-wants">
      {wants.map(([name, value], index) => (
        <div key={index}><dt>{name}</dt><dd class="mono"><Spelled text={value} /></dd></div>
      ))}
    </dl>
  );
}

const NAMES_SHOWN = 12;

/** What the words of it lead to: programs and files, as they were found. */
function Names({ approval }: { approval: Approval }) {
  const bound = approval.bound_to ?? [];
  const named = [...bound.filter(({ kind }) => kind === "program"), ...bound.filter(({ kind }) => kind === "file")];
  if (named.length === 0) return null;
  return (
    <details class="approval-names" open={named.length <= NAMES_SHOWN} data-testid="approval-names">
      <summary class="muted">What it names, as it was found</summary>
      <ul>
        {named.map(({ kind, name, leads_to, state }) => (
          <li key={`${kind} ${name}`}>
            {kind} <span class="mono"><Spelled text={name} />{leads_to && <> → <Spelled text={leads_to} /></>}</span>{state === null && ", not found"}
          </li>
        ))}
      </ul>
    </details>
  );
}

function Face({ deed, approval }: { deed: Deed; approval: Approval }) {
  switch (deed.kind) {
    case "command":
      return <><ShownBlock text={deed.line} label="Command" testId="approval-payload" /><Length text={deed.line} /></>;
    case "typed":
      return (
        <>
          <ShownBlock text={deed.text} label="What is typed" testId="approval-payload" />
          <p class="help">Every byte that is typed. Enter is <code>\r</code>.</p>
        </>
      );
    case "secret":
      return <p class="deed-note" data-testid="approval-payload">{deed.bytes} bytes for a prompt that shows nothing, as one for a password. Nobody is shown them, and they are written down nowhere.</p>;
    case "program":
      return deed.words ? <ShownBlock text={commandLine(deed.words)} label="Program and arguments" testId="approval-payload" /> : <p class="deed-note" data-testid="approval-payload">The login shell.</p>;
    case "control":
      return <p class="deed-note" data-testid="approval-payload">Control of this session{deed.force && ", even if another agent has it"}. Whoever has it now watches on.</p>;
    case "page":
      return <ShownBlock text={deed.url} label="Address" testId="approval-payload" />;
    case "file":
      return (
        <>
          <p class="mono"><Spelled text={deed.path} /></p>
          <Diff before={deed.before} after={deed.after} label="What changes in the file" testId="approval-payload" />
        </>
      );
    case "other":
      return <p class="deed-note">This page does not know <code>{approval.action ?? approval.kind}</code>: read what it holds.</p>;
  }
}

/** A text that does not fit says how much there is to be read. */
function Length({ text }: { text: string }) {
  const lines = text.split("\n").length;
  if (lines < 8 && text.length < 600) return null;
  return <p class="help">{lines === 1 ? "1 line" : `${lines} lines`}, {text.length} characters.</p>;
}
