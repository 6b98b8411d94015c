/**
 * Answers the tests' questions about what a foreign terminal shows.
 *
 * A question on stdin is two lengths (32 bits, little-endian), then that many
 * bytes of JSON and of body; an answer on stdout is one length and JSON. It ends
 * with stdin.
 *
 * | op | body | answer |
 * | --- | --- | --- |
 * | `joins` | the stream, then for each join what came before and its snapshot | what differs |
 * | `text` | a stream | the screen's rows, and where the cursor is |
 * | `known` | | the differences that are known, with their reasons |
 */

import { readSync, writeSync } from "node:fs";
import { join } from "./joins.mjs";
import { KNOWN } from "./known.mjs";
import { check, Emulator } from "./terminal.mjs";

const OPERATIONS = { joins, text, known };

check();
for (;;) {
  const lengths = take(8);
  if (!lengths) break;
  const question = JSON.parse(take(lengths.readUInt32LE(0)).toString());
  const body = take(lengths.readUInt32LE(4));
  answer(OPERATIONS[question.op](question, body));
}

function joins(question, body) {
  let taken = 0;
  const part = (length) => body.subarray(taken, (taken += length));
  const stream = part(question.stream);
  const cuts = question.joins.map(({ at, before, snapshot }) => ({ at, before: part(before), snapshot: part(snapshot) }));
  return join(question, stream, cuts);
}

function text({ cols, rows }, body) {
  const emulator = new Emulator(cols, rows);
  emulator.feed(body);
  const buffer = emulator.buffers.active;
  const shown = Array.from({ length: rows }, (_, row) => buffer.lines.get(buffer.ybase + row).translateToString(true));
  return { rows: shown, cursor: [buffer.y, buffer.x], modes: emulator.modes() };
}

function known() {
  return KNOWN.map(({ name, why }) => ({ name, why }));
}

/** Exactly so many bytes; nothing at the end of input. */
function take(length) {
  const bytes = Buffer.allocUnsafe(length);
  for (let have = 0; have < length; ) {
    const read = readSync(0, bytes, have, length - have, null);
    if (read === 0) return null;
    have += read;
  }
  return bytes;
}

function answer(value) {
  const json = Buffer.from(JSON.stringify(value));
  const frame = Buffer.allocUnsafe(4 + json.length);
  frame.writeUInt32LE(json.length, 0);
  json.copy(frame, 4);
  for (let sent = 0; sent < frame.length; ) sent += writeSync(1, frame, sent);
}
