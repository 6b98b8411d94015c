/** The entries that a filter leaves, kept up as entries come; and how many there are of each group. */

import type { Change } from "./event_log";
import type { Group, LogEntry } from "./entry";
import { EVERYTHING, isShown, matcher, type LogFilter } from "./filter";

export class LogView {
  #rows: LogEntry[] = [];
  #counts = new Map<Group, number>();
  #filter: LogFilter = EVERYTHING;
  #matches = matcher(EVERYTHING, null);

  get rows(): readonly LogEntry[] {
    return this.#rows;
  }

  /** Of what is looked for, also of the groups that are not shown. */
  get counts(): ReadonlyMap<Group, number> {
    return this.#counts;
  }

  /** Shows these entries by this filter. */
  show(entries: readonly LogEntry[], filter: LogFilter, open: string | null): void {
    this.#filter = filter;
    this.#matches = matcher(filter, open);
    this.#counts = new Map();
    this.#rows = this.#pick(entries);
  }

  /** Follows a change; `entries` is everything there is after it. Answers how many rows came at the end. */
  follow(change: Change, entries: readonly LogEntry[]): number {
    switch (change.kind) {
      case "appended": {
        const picked = this.#pick(change.entries);
        for (const entry of picked) this.#rows.push(entry);
        return picked.length;
      }
      case "prepended":
        this.#rows = this.#pick(change.entries).concat(this.#rows);
        return 0;
      case "dropped":
        this.#counts = new Map();
        this.#rows = this.#pick(entries);
        return 0;
      case "reset":
        // What came after it comes as a change of its own.
        this.#counts = new Map();
        this.#rows = [];
        return 0;
    }
  }

  #pick(entries: readonly LogEntry[]): LogEntry[] {
    return entries.filter((entry) => {
      if (!this.#matches(entry)) return false;
      if (entry.group !== null) this.#counts.set(entry.group, (this.#counts.get(entry.group) ?? 0) + 1);
      return isShown(entry, this.#filter);
    });
  }
}
