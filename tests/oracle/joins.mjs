/**
 * Terminals that join a stream in the middle, by a snapshot, beside one that
 * read it from the beginning.
 */

import { differences } from "./compare.mjs";
import { known } from "./known.mjs";
import { Emulator } from "./terminal.mjs";

/** Kinds of differences that are told by their first example; the rest is counted. */
const TOLD = 12;

/**
 * Compares where each terminal joins, at every checkpoint behind, and at the end.
 *
 * `joins` are sorted by `at`; `before` is what dirtied the terminal before the snapshot came.
 */
export function join({ cols, rows, scrollback, history, checkpoints }, stream, joins) {
  const result = { joins: joins.length, comparisons: 0, known: {}, unexplained: 0, joinsThatDiffer: 0, told: [] };
  const from = joins[0]?.at ?? 0;
  const stops = checkpoints.filter((at) => at > from).map((at) => ({ at, whole: read(cols, rows, scrollback, stream, at) }));
  const walker = read(cols, rows, scrollback, stream, from);
  let walked = from;
  for (const { at, before, snapshot } of joins) {
    walker.feed(stream.subarray(walked, at));
    walked = at;
    const joined = new Emulator(cols, rows, scrollback);
    joined.feed(before);
    joined.feed(snapshot);
    let differs = compare(result, walker, joined, history, { cut: at, seen: at });
    let fed = at;
    for (const stop of stops) {
      if (stop.at <= at) continue;
      joined.feed(stream.subarray(fed, stop.at));
      fed = stop.at;
      differs = compare(result, stop.whole, joined, history, { cut: at, seen: stop.at }) || differs;
    }
    if (differs) result.joinsThatDiffer += 1;
    joined.dispose();
  }
  for (const { whole } of stops) whole.dispose();
  walker.dispose();
  return result;
}

function read(cols, rows, scrollback, stream, until) {
  const emulator = new Emulator(cols, rows, scrollback);
  emulator.feed(stream.subarray(0, until));
  return emulator;
}

/** Sorts the differences into known and not; whether there was one that is not known. */
function compare(result, whole, joined, history, when) {
  result.comparisons += 1;
  let differs = false;
  for (const difference of differences(whole, joined, history)) {
    const name = known(difference, whole);
    if (name) {
      result.known[name] = (result.known[name] ?? 0) + 1;
      continue;
    }
    differs = true;
    result.unexplained += 1;
    tell(result, { ...when, ...difference });
  }
  return differs;
}

/** One example of each kind is worth more than the first dozen. */
function tell(result, difference) {
  const kind = ({ where, what }) => `${where.replace(/[-\d]+/g, "#")} ${what}`;
  const told = result.told.some((other) => kind(other) === kind(difference));
  if (!told && result.told.length < TOLD) result.told.push(difference);
}
