/** A paste that somebody should look at first, and one that takes a while. */

import type { Attachment } from "../terminal/attachment";
import { Dialog } from "../ui/dialog";
import { Spelled } from "../ui/spelled";
import { bytesText } from "../ui/words";
import type { PasteQuestion, Reason } from "./judge";
import "./paste.css";

const LINES_SHOWN = 200;
const CHARS_SHOWN = 20_000;

const REASONS: Readonly<Record<Reason, string>> = {
  lines: "The program takes each line as typed: a shell runs it at once.",
  large: "It is large.",
  hidden: "It holds characters that are not seen. Those that control a terminal are left out.",
};

export function PasteDialog({ attachment }: { attachment: Attachment }) {
  const question = attachment.typing.pasting.question.value;
  if (!question) return null;
  const answer = (how: "paste" | "one line" | "cancel"): void => attachment.typing.pasting.answer(how);
  const { text, lines, bytes, reasons } = question;
  return (
    <Dialog title="Paste this?" onClose={() => answer("cancel")}>
      <p>{lines === 1 ? "1 line" : `${lines} lines`}, {bytesText(bytes)}. {reasons.map((reason) => REASONS[reason]).join(" ")}</p>
      <Preview text={text} />
      <div class="dialog-actions paste-actions">
        <button type="button" class="button" autofocus onClick={() => answer("cancel")}>Cancel</button>
        {lines > 1 && <button type="button" class="button" data-testid="paste-one-line" onClick={() => answer("one line")}>Paste as one line</button>}
        <button type="button" class="button primary" data-testid="paste-anyway" onClick={() => answer("paste")}>Paste</button>
      </div>
    </Dialog>
  );
}

function Preview({ text }: Pick<PasteQuestion, "text">) {
  const { shown, more } = beginningOf(text);
  return (
    <>
      <pre class="paste-preview mono" tabIndex={0} role="region" aria-label="The text" data-testid="paste-preview"><Spelled text={shown} how="lines" /></pre>
      {more && <p class="help">{more}</p>}
    </>
  );
}

/** As much of a text as a person would look at, and what is left in words. */
export function beginningOf(text: string): { shown: string; more: string | null } {
  const lines = text.replace(/\r\n?/g, "\n").replace(/\n$/, "").split("\n");
  const shown = lines.slice(0, LINES_SHOWN).join("\n");
  if (shown.length > CHARS_SHOWN) return { shown: shown.slice(0, CHARS_SHOWN), more: `… and ${bytesText(text.length - CHARS_SHOWN)} more` };
  const left = lines.length - LINES_SHOWN;
  return { shown, more: left > 0 ? `… and ${left} more ${left === 1 ? "line" : "lines"}` : null };
}

export function PasteProgressStrip({ attachment }: { attachment: Attachment }) {
  const progress = attachment.typing.pasting.progress.value;
  if (!progress) return null;
  const { done, total } = progress;
  return (
    <div class="strip" data-testid="paste-progress">
      <span>Pasting: {bytesText(done)} of {bytesText(total)}</span>
      <progress aria-label="Pasting" value={done} max={total} />
      <button type="button" class="button small" data-testid="paste-cancel" onClick={() => attachment.typing.pasting.cancel()}>Stop</button>
    </div>
  );
}
