/** Two texts, line by line: what is gone, what is new, and a little of what stayed around it. */

export type Row =
  | { kind: "same" | "gone" | "new"; text: string; mark: [number, number] | null }
  /** So many lines that stayed. */
  | { kind: "skip"; lines: number };

/** Lines of what stayed that are shown around a change. */
const AROUND = 3;
/** Larger comparisons are told as one change: it is right, and no page stands still for it. */
const CELLS_MAX = 1_000_000;

/** Empty when the texts are the same. */
export function diffRows(before: string, after: string): Row[] {
  if (before === after) return [];
  return folded(marked(lineRows(before.split("\n"), after.split("\n"))));
}

type Line = Exclude<Row, { kind: "skip" }>;

function lineRows(before: readonly string[], after: readonly string[]): Line[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < before.length - head && tail < after.length - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const line = (kind: Line["kind"]) => (text: string): Line => ({ kind, text, mark: null });
  return [
    ...before.slice(0, head).map(line("same")),
    ...middleRows(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...before.slice(before.length - tail).map(line("same")),
  ];
}

/** By the longest common subsequence. */
function middleRows(before: readonly string[], after: readonly string[]): Line[] {
  const [height, width] = [before.length, after.length];
  const gone = (text: string): Line => ({ kind: "gone", text, mark: null });
  const fresh = (text: string): Line => ({ kind: "new", text, mark: null });
  if (height * width > CELLS_MAX || height === 0 || width === 0) return [...before.map(gone), ...after.map(fresh)];
  const stride = width + 1;
  const length = new Uint32Array((height + 1) * stride);
  const at = (row: number, column: number): number => length[row * stride + column] ?? 0;
  for (let row = height - 1; row >= 0; row--) {
    for (let column = width - 1; column >= 0; column--) {
      length[row * stride + column] = before[row] === after[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const rows: Line[] = [];
  let [row, column] = [0, 0];
  while (row < height || column < width) {
    const [left, right] = [before[row], after[column]];
    if (left !== undefined && left === right) {
      rows.push({ kind: "same", text: left, mark: null });
      row += 1;
      column += 1;
    } else if (left !== undefined && (right === undefined || at(row + 1, column) >= at(row, column + 1))) {
      rows.push(gone(left));
      row += 1;
    } else if (right !== undefined) {
      rows.push(fresh(right));
      column += 1;
    }
  }
  return rows;
}

/** Where one line became one other, the part that differs is marked. */
function marked(rows: readonly Line[]): Line[] {
  return rows.map((row, index) => {
    const partner = row.kind === "gone" ? rows[index + 1] : row.kind === "new" ? rows[index - 1] : undefined;
    if (!partner || partner.kind === row.kind || partner.kind === "same") return row;
    const beside = row.kind === "gone" ? [rows[index - 1], rows[index + 2]] : [rows[index - 2], rows[index + 1]];
    if (beside.some((other) => other !== undefined && other.kind !== "same")) return row;
    return { ...row, mark: differing(row.text, partner.text) };
  });
}

/** From where to where `text` is not as `other`; null when that is all of it, or nothing. */
export function differing(text: string, other: string): [number, number] | null {
  const shorter = Math.min(text.length, other.length);
  let start = 0;
  while (start < shorter && text[start] === other[start]) start += 1;
  let end = 0;
  while (end < shorter - start && text[text.length - 1 - end] === other[other.length - 1 - end]) end += 1;
  // No character is cut in half.
  if (isLow(text, start)) start -= 1;
  if (isLow(text, text.length - end)) end -= 1;
  const to = text.length - end;
  return to <= start || (start === 0 && end === 0) ? null : [start, to];
}

function isLow(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff;
}

function folded(rows: readonly Line[]): Row[] {
  const near = new Uint8Array(rows.length);
  rows.forEach(({ kind }, index) => {
    if (kind !== "same") near.fill(1, Math.max(0, index - AROUND), index + AROUND + 1);
  });
  const shown: Row[] = [];
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index];
    const last = shown.at(-1);
    if (row && near[index]) shown.push(row);
    else if (last?.kind === "skip") last.lines += 1;
    else shown.push({ kind: "skip", lines: 1 });
  }
  return shown;
}
