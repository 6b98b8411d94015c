/**
 * Everything in which two terminals differ: cells with all attributes, cursors,
 * modes, saved state.
 */

/** Numbers a cell takes in a line: content, foreground, background. */
const CELL = 3;
const COMBINED = 0x200000;
const WIDTH_SHIFT = 22;
/** A cell of one column that was erased, and one that a space was written to. */
const ERASED = 1 << WIDTH_SHIFT;
const SPACE = (1 << WIDTH_SHIFT) | 0x20;

const COLOUR_MODE = 0x3000000;
const MODE_16 = 0x1000000;
const MODE_256 = 0x2000000;
const UNDERLINE = 0x10000000;
const EXTENDED = 0x10000000;

const FOREGROUND_FLAGS = [
  [0x4000000, "inverse"],
  [0x8000000, "bold"],
  [0x20000000, "blink"],
  [0x40000000, "hidden"],
  [0x80000000, "strikethrough"],
];
const BACKGROUND_FLAGS = [
  [0x4000000, "italic"],
  [0x8000000, "dim"],
  [0x20000000, "protected"],
  [0x40000000, "overline"],
];

/** @typedef {{ where: string, what: string, whole: unknown, joined: unknown }} Difference */

/**
 * All differences of `joined` from `whole`, on the screens and in so many lines above.
 *
 * @returns {Difference[]}
 */
export function differences(whole, joined, history = 0) {
  const pair = { whole, joined, found: [] };
  records(pair, "modes", whole.modes(), joined.modes());
  attributes(pair, "pen", whole.pen(), joined.pen());
  screens(pair, "primary", (emulator) => emulator.buffers.normal, history);
  if (whole.buffers.active === whole.buffers.alt && joined.buffers.active === joined.buffers.alt) {
    screens(pair, "alternate", (emulator) => emulator.buffers.alt, 0);
  }
  return pair.found;
}

function screens(pair, name, bufferOf, history) {
  const [a, b] = [bufferOf(pair.whole), bufferOf(pair.joined)];
  const [placeA, placeB] = [pair.whole.place(a), pair.joined.place(b)];
  // The hidden screen's cursor is overwritten with the other's when it is shown again.
  const shown = pair.whole.buffers.active === a && pair.joined.buffers.active === b;
  if (!shown) for (const place of [placeA, placeB]) place.column = place.row = null;
  records(pair, `${name} place`, placeA, placeB);
  records(pair, `${name} saved`, pair.whole.saved(a), pair.joined.saved(b));
  attributes(pair, `${name} saved pen`, a.savedCurAttrData, b.savedCurAttrData);
  const [aboveA, aboveB] = [a, b].map((buffer) => Math.min(buffer.ybase, history));
  if (aboveA !== aboveB) pair.found.push({ where: name, what: "lines above", whole: aboveA, joined: aboveB });
  for (let row = -Math.min(aboveA, aboveB); row < pair.whole.term.rows; row++) {
    lines(pair, `${name} ${row}`, a.lines.get(a.ybase + row), b.lines.get(b.ybase + row));
  }
}

function lines(pair, where, a, b) {
  if (a.isWrapped !== b.isWrapped) pair.found.push({ where, what: "wrapped", whole: a.isWrapped, joined: b.isWrapped });
  const [dataA, dataB] = [a._data, b._data];
  for (let column = 0; column < a.length; column++) {
    const at = column * CELL;
    const same = dataA[at] === dataB[at] && dataA[at + 1] === dataB[at + 1] && dataA[at + 2] === dataB[at + 2];
    if (same && !(dataA[at] & COMBINED) && !(dataA[at + 2] & EXTENDED)) continue;
    cells(pair, `${where},${column}`, a, b, column);
  }
}

function cells(pair, where, a, b, column) {
  const [contentA, contentB] = [a._data[column * CELL], b._data[column * CELL]];
  const [textA, textB] = [a.getString(column), b.getString(column)];
  if (textA !== textB) {
    const blank = [contentA, contentB].every((content) => content === ERASED || content === SPACE);
    pair.found.push({ where, what: blank ? "blank" : "text", whole: textA, joined: textB });
  }
  const [widthA, widthB] = [a.getWidth(column), b.getWidth(column)];
  if (widthA !== widthB) pair.found.push({ where, what: "width", whole: widthA, joined: widthB });
  attributes(pair, where, attributesAt(a, column), attributesAt(b, column));
}

function attributesAt(line, column) {
  const at = column * CELL;
  return { fg: line._data[at + 1], bg: line._data[at + 2], extended: line._extendedAttrs[column] };
}

function attributes(pair, where, a, b) {
  records(pair, where, described(pair.whole, a), described(pair.joined, b));
}

function described(emulator, { fg, bg, extended }) {
  const more = bg & EXTENDED ? extended : undefined;
  const link = emulator.link(more);
  const underlined = Boolean(fg & UNDERLINE);
  const style = { foreground: colour(fg), background: colour(bg) };
  for (const [bit, name] of FOREGROUND_FLAGS) style[name] = Boolean(fg & bit);
  for (const [bit, name] of BACKGROUND_FLAGS) style[name] = Boolean(bg & bit);
  // Under a link xterm says "dashed", and keeps the program's own style all the same.
  style.underline = underlined ? ((more?._ext ?? 0) >>> 26) & 7 || 1 : 0;
  style.underlineColour = underlined && more ? colour(more.underlineColor) : "default";
  style.uri = link?.uri;
  style.link = link?.id;
  return style;
}

function colour(value) {
  switch (value & COLOUR_MODE) {
    case 0:
      return "default";
    case MODE_16:
      return `16:${value & 0xff}`;
    case MODE_256:
      return `256:${value & 0xff}`;
    default:
      return `#${(value & 0xffffff).toString(16).padStart(6, "0")}`;
  }
}

function records(pair, where, a, b) {
  for (const what of Object.keys(a)) {
    if (a[what] !== b[what]) pair.found.push({ where, what, whole: a[what], joined: b[what] });
  }
}
