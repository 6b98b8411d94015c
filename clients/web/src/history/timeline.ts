/**
 * A session's output laid out on a slider.
 *
 * Neither time nor bytes alone make a slider one can use: a night of silence
 * would take it all, or one build log. So each stretch between two known points
 * gets half of its room by its bytes and half by its time, and no silence counts
 * for more than a few minutes. Within a stretch, output and time run evenly.
 */

/** A known point: the output reached `offset` at `at` (milliseconds since 1970). */
export interface Point {
  offset: number;
  at: number;
}

/** A stretch is never wider by its time than this makes it. */
const SILENCE_MAX_MS = 3 * 60_000;

export class Timeline {
  readonly #points: readonly Point[];
  /** For each point its place, 0 to 1. */
  readonly #places: readonly number[];

  /** `points` in any order; the first and the last are the ends. At least one. */
  constructor(points: readonly Point[]) {
    this.#points = rising(points);
    const stretches = this.#points.slice(1).map((point, at) => {
      const before = this.#points[at] ?? point;
      return { bytes: point.offset - before.offset, time: Math.min(point.at - before.at, SILENCE_MAX_MS) };
    });
    const bytes = stretches.reduce((sum, stretch) => sum + stretch.bytes, 0);
    const time = stretches.reduce((sum, stretch) => sum + stretch.time, 0);
    let place = 0;
    this.#places = [0, ...stretches.map((stretch) => (place += share(stretch.bytes, bytes, time > 0) + share(stretch.time, time, bytes > 0)))];
  }

  get start(): Point {
    return this.#points[0] ?? { offset: 0, at: 0 };
  }

  get end(): Point {
    return this.#points.at(-1) ?? this.start;
  }

  /** The output offset and the time, about, at `place`. */
  at(place: number): Point {
    const [index, within] = locate(this.#places, place);
    const from = this.#points[index] ?? this.start;
    const to = this.#points[index + 1] ?? from;
    return { offset: Math.round(mix(from.offset, to.offset, within)), at: mix(from.at, to.at, within) };
  }

  placeOfOffset(offset: number): number {
    return this.#placeBy(offset, (point) => point.offset);
  }

  placeOfTime(at: number): number {
    return this.#placeBy(at, (point) => point.at);
  }

  #placeBy(value: number, key: (point: Point) => number): number {
    const [index, within] = locate(this.#points.map(key), value);
    const from = this.#places[index] ?? 0;
    return mix(from, this.#places[index + 1] ?? from, within);
  }
}

/** Sorted, one point an offset, time never falling: a clock may be set back, the output not. */
function rising(points: readonly Point[]): Point[] {
  const known: Point[] = [];
  for (const point of [...points].sort((a, b) => a.offset - b.offset || a.at - b.at)) {
    const last = known.at(-1);
    if (last?.offset === point.offset) continue;
    known.push({ offset: point.offset, at: Math.max(point.at, last?.at ?? point.at) });
  }
  return known;
}

function share(part: number, whole: number, halved: boolean): number {
  if (whole <= 0) return 0;
  return part / whole / (halved ? 2 : 1);
}

/** The stretch that `value` falls into, and how far; `keys` rise. */
function locate(keys: readonly number[], value: number): [index: number, within: number] {
  let index = 0;
  while (index < keys.length - 2 && (keys[index + 1] ?? Infinity) <= value) index++;
  const from = keys[index] ?? 0;
  const to = keys[index + 1] ?? from;
  const within = to > from ? (value - from) / (to - from) : 0;
  return [index, Math.min(1, Math.max(0, within))];
}

function mix(from: number, to: number, within: number): number {
  return from + (to - from) * within;
}
