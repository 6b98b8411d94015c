/** Which rows of a long list are in sight: all of one height, but one that may be open. */

export interface Expanded {
  index: number;
  /** How much taller it is than the others. */
  extra: number;
}

/** Rows drawn beyond either end of what is in sight. */
const BEYOND = 6;

export class RowWindow {
  constructor(
    readonly count: number,
    readonly rowPx: number,
    readonly expanded: Expanded | null,
  ) {}

  get height(): number {
    return this.count * this.rowPx + (this.expanded?.extra ?? 0);
  }

  topOf(index: number): number {
    const { expanded } = this;
    return index * this.rowPx + (expanded && index > expanded.index ? expanded.extra : 0);
  }

  /** The row at `y`. */
  at(y: number): number {
    const { expanded, rowPx } = this;
    const plain = Math.floor(y / rowPx);
    const index = expanded && plain > expanded.index ? Math.max(expanded.index, Math.floor((y - expanded.extra) / rowPx)) : plain;
    return Math.min(Math.max(0, index), Math.max(0, this.count - 1));
  }

  /** From the first to behind the last row to draw. */
  range(top: number, height: number): [from: number, to: number] {
    return [Math.max(0, this.at(top) - BEYOND), Math.min(this.count, this.at(top + height) + 1 + BEYOND)];
  }
}

/** Where in `rows`, whose numbers rise, the first of at least `seq` is. */
export function indexOfSeq(rows: readonly { seq: number }[], seq: number): number {
  let [from, to] = [0, rows.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((rows[middle]?.seq ?? Infinity) < seq) from = middle + 1;
    else to = middle;
  }
  return from;
}
