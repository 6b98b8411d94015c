/** Text that an agent wrote in a block of its own, and two such texts against each other. */

import { useMemo } from "preact/hooks";
import { Spelled } from "../ui/spelled";
import { diffRows, type Row } from "./diff";

/** A block that scrolls, and can be reached by keyboard to do so. */
export function ShownBlock({ text, label, testId }: { text: string; label: string; testId: string }) {
  return (
    <div class="shown-block mono" role="group" aria-label={label} tabIndex={0} data-testid={testId}><Spelled text={text} /></div>
  );
}

const WORDS: Readonly<Record<"same" | "gone" | "new", string>> = { same: "", gone: "removed: ", new: "added: " };
const SIGNS: Readonly<Record<"same" | "gone" | "new", string>> = { same: " ", gone: "−", new: "+" };
const ROWS_MAX = 1_000;

export function Diff({ before, after, label, testId }: { before: string; after: string; label: string; testId: string }) {
  const rows = useMemo(() => diffRows(before, after), [before, after]);
  if (rows.length === 0) return null;
  return (
    <div class="diff mono" role="group" aria-label={label} tabIndex={0} data-testid={testId}>
      {rows.slice(0, ROWS_MAX).map((row, index) => <DiffRow key={index} row={row} />)}
      {rows.length > ROWS_MAX && <div class="diff-skip">{rows.length - ROWS_MAX} more lines of the comparison are not shown</div>}
    </div>
  );
}

function DiffRow({ row }: { row: Row }) {
  if (row.kind === "skip") return <div class="diff-skip">{row.lines === 1 ? "1 line" : `${row.lines} lines`} the same</div>;
  const { kind, text, mark } = row;
  const [from, to] = mark ?? [0, 0];
  return (
    <div class={`diff-row diff-${kind}`}>
      <span class="diff-sign" aria-hidden="true">{SIGNS[kind]}</span>
      <span class="visually-hidden">{WORDS[kind]}</span>
      <span>
        {mark ? <><Spelled text={text.slice(0, from)} /><mark><Spelled text={text.slice(from, to)} /></mark><Spelled text={text.slice(to)} /></> : <Spelled text={text} />}
      </span>
    </div>
  );
}
