/**
 * What happened in sessions that nobody looked at: rung, finished, said, ended.
 *
 * Each event has a number that rises, and of each kind the newest counts, so
 * events may be heard twice and in any order: the outcome is the same. A look at
 * a session clears what it had up to then.
 */

import type { Mark, SessionEvent } from "../api/protocol";

export const MARK_KINDS = ["bell", "message", "finished", "ended"] as const;
export type AttentionKind = (typeof MARK_KINDS)[number];

export interface AttentionMark {
  kind: AttentionKind;
  seq: number;
  at: string;
  /** What the program said, or the signal's number of what ended. */
  text?: string;
  /** Of a command or a program; null when nobody knows. */
  code?: number | null;
  ms?: number;
}

export type SessionMarks = Partial<Readonly<Record<AttentionKind, AttentionMark>>>;

/** What a browser keeps of it. */
export interface StoredMarks {
  /** Every event up to this one was heard. */
  heard: number;
  marks: [id: string, marks: SessionMarks][];
  looked: [id: string, seq: number][];
}

const SESSIONS_MAX = 300;
const TEXT_CHARS_MAX = 200;

/** The mark that an event leaves; a command counts when it took this long. */
export function markOf(event: Partial<SessionEvent>, long_ms: number): AttentionMark | null {
  const { scope, type, seq, at, data } = event;
  if (scope !== "session" || seq === undefined || at === undefined || typeof data !== "object" || data === null) return null;
  if (type === "mark") return programsMark(data as Partial<Mark>, { seq, at }, long_ms);
  if (type === "status" && "status" in data && data.status === "lost") return { kind: "ended", seq, at, text: "lost", code: null };
  if (type !== "exit") return null;
  const { code, signal, reason } = data as { code?: number | null; signal?: number | null; reason?: string };
  // What a person or a limit ended is nobody's surprise.
  if (reason !== "exit" && reason !== "signal") return null;
  return { kind: "ended", seq, at, code: code ?? null, ...(typeof signal === "number" ? { text: String(signal) } : {}) };
}

function programsMark(mark: Partial<Mark>, when: { seq: number; at: string }, long_ms: number): AttentionMark | null {
  switch (mark.kind) {
    case "bell":
      return { kind: "bell", ...when };
    case "notification":
      return { kind: "message", ...when, text: (mark.text ?? "").slice(0, TEXT_CHARS_MAX) };
    case "command_end": {
      const ms = mark.duration_ms ?? 0;
      return ms >= long_ms ? { kind: "finished", ...when, code: mark.exit_code ?? null, ms } : null;
    }
    default:
      return null;
  }
}

export class MarkBook {
  readonly #marks = new Map<string, SessionMarks>();
  readonly #looked = new Map<string, number>();
  #heard: number;

  constructor(stored: StoredMarks | null) {
    this.#heard = 0;
    if (stored) this.merge(stored);
  }

  get heard(): number {
    return this.#heard;
  }

  /** A copy, as it is now. */
  get marks(): ReadonlyMap<string, SessionMarks> {
    return new Map(this.#marks);
  }

  hear(seq: number): void {
    this.#heard = Math.max(this.#heard, seq);
  }

  /** Whether it is new and nobody saw it. */
  take(id: string, mark: AttentionMark): boolean {
    if (mark.seq <= (this.#looked.get(id) ?? 0)) return false;
    const known = this.#marks.get(id) ?? {};
    if (mark.seq <= (known[mark.kind]?.seq ?? 0)) return false;
    this.#marks.delete(id);
    this.#marks.set(id, { ...known, [mark.kind]: mark });
    cut(this.#marks);
    return true;
  }

  /** Somebody looks at it: whether that changed anything. */
  look(id: string, until: number): boolean {
    if (until <= (this.#looked.get(id) ?? 0)) return false;
    this.#looked.delete(id);
    this.#looked.set(id, until);
    cut(this.#looked);
    const known = this.#marks.get(id);
    if (!known) return false;
    const left = Object.values(known).filter((mark) => mark.seq > until);
    if (left.length === 0) this.#marks.delete(id);
    else this.#marks.set(id, Object.fromEntries(left.map((mark) => [mark.kind, mark])));
    return true;
  }

  isSeen(id: string, seq: number): boolean {
    return seq <= (this.#looked.get(id) ?? 0);
  }

  /** Only of these sessions; the others are gone. */
  keep(ids: ReadonlySet<string>): boolean {
    const gone = [...this.#marks.keys(), ...this.#looked.keys()].filter((id) => !ids.has(id));
    for (const id of gone) {
      this.#marks.delete(id);
      this.#looked.delete(id);
    }
    return gone.length > 0;
  }

  /** What another tab knows, or this one did before. */
  merge({ heard, marks, looked }: StoredMarks): void {
    this.hear(heard);
    for (const [id, known] of marks) for (const mark of Object.values(known)) this.take(id, mark);
    for (const [id, seq] of looked) this.look(id, seq);
  }

  stored(): StoredMarks {
    return { heard: this.#heard, marks: [...this.#marks], looked: [...this.#looked] };
  }
}

/** The oldest go first. */
function cut(map: Map<string, unknown>): void {
  for (const id of map.keys()) {
    if (map.size <= SESSIONS_MAX) return;
    map.delete(id);
  }
}

/** What storage has, if it is what was put there. */
export function storedMarks(text: string | null): StoredMarks | null {
  try {
    const value = JSON.parse(text ?? "null") as Partial<StoredMarks> | null;
    const { heard, marks, looked } = value ?? {};
    const good = Number.isSafeInteger(heard) && isPairs(marks, "object") && isPairs(looked, "number");
    return good ? (value as StoredMarks) : null;
  } catch {
    return null;
  }
}

function isPairs(value: unknown, of: "object" | "number"): boolean {
  return Array.isArray(value) && value.length <= SESSIONS_MAX && value.every((pair) => Array.isArray(pair) && typeof pair[0] === "string" && typeof pair[1] === of && pair[1] !== null);
}
