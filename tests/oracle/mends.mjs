/**
 * Defects of xterm 6.0.0 that only one of two terminals would run into, because
 * they depend on what scrolled out before, or on how output was cut into chunks.
 * They are mended in both: excusing them would excuse ours with them.
 */

/** Mends a terminal; `emulator` is made, nothing is fed to it yet. */
export function mend(emulator) {
  mendErase(emulator);
  mendUnderlineColour(emulator);
  mendSavedCursor(emulator);
  mendLinks(emulator);
}

/**
 * ED 1 up to the margin should unmark the line below, which then continues nothing. xterm counts that line from the oldest it
 * keeps instead of the screen's first: it unmarks another one, or finds none, throws, and takes no byte any more.
 */
function mendErase({ term, input, buffers }) {
  const { eraseInDisplay } = input;
  input.eraseInDisplay = (params, respectProtect) => {
    const { x, y, ybase, lines } = buffers.active;
    if (params.params[0] !== 1 || x + 1 < term.cols) return eraseInDisplay.call(input, params, respectProtect);
    const wrong = lines.get(y + 1) ?? {};
    const { isWrapped } = wrong;
    const { get } = lines;
    lines.get = (index) => get.call(lines, index) ?? wrong;
    eraseInDisplay.call(input, params, respectProtect);
    delete lines.get;
    // What was above the screen has not been erased.
    if (y + 1 < ybase) wrong.isWrapped = isWrapped;
    if (y + 1 < term.rows) lines.get(ybase + y + 1).isWrapped = false;
    return true;
  };
}

/** SGR 59 should bring the underline's own colour back; xterm makes it white. */
function mendUnderlineColour(emulator) {
  const { input } = emulator;
  const { charAttributes } = input;
  input.charAttributes = (params) => {
    const done = charAttributes.call(input, params);
    if (endsWithOwnUnderlineColour(params.toArray())) {
      const pen = emulator.pen();
      pen.extended = pen.extended.clone();
      pen.extended.underlineColor = 0;
      pen.updateExtended();
    }
    return done;
  };
}

/** Whether SGR 59 is the last that is said of the underline's colour. Colours are numbers too: they are skipped. */
function endsWithOwnUnderlineColour(params) {
  let own = false;
  for (let at = 0; at < params.length; at++) {
    if (params[at] === 58) own = false;
    if (params[at] === 59) own = true;
    const colour = [38, 48, 58].includes(params[at]);
    if (colour && params[at + 1] === 2) at += 4;
    else if (colour && params[at + 1] === 5) at += 2;
  }
  return own;
}

/**
 * The saved cursor. DECSC should save how underlines are drawn; xterm does not, nor does DECRC leave the link alone: it shows
 * one, or an underline's style, only once another attribute is set. DECRC should bring a row of the screen back; xterm's row
 * moves up with the text as lines scroll out. And the character set it brings back should last; in xterm it does until the
 * next shift.
 */
function mendSavedCursor(emulator) {
  const { core, input, buffers } = emulator;
  const { saveCursor, restoreCursor, softReset } = input;
  input.saveCursor = () => {
    const done = saveCursor.call(input);
    const saved = buffers.active.savedCurAttrData;
    saved.extended = withLink(emulator.pen().extended, 0);
    saved.updateExtended();
    return done;
  };
  input.restoreCursor = () => {
    const pen = emulator.pen();
    const link = pen.extended.urlId;
    const done = restoreCursor.call(input);
    pen.extended = withLink(buffers.active.savedCurAttrData.extended, link);
    pen.updateExtended();
    const sets = core._charsetService;
    sets.setgCharset(sets.glevel, sets.charset);
    return done;
  };
  input.softReset = (params) => {
    const done = softReset.call(input, params);
    buffers.active.savedCurAttrData.extended = emulator.pen().extended.clone();
    return done;
  };
  const mendRows = () => [buffers.normal, buffers.alt].forEach(saveRowOfScreen);
  mendRows();
  // A reset makes new ones.
  buffers.onBufferActivate(mendRows);
}

/** The row a saved cursor is in, counted from the screen's first. */
function saveRowOfScreen(buffer) {
  let row = buffer.savedY - buffer.ybase;
  Object.defineProperty(buffer, "savedY", {
    configurable: true,
    get: () => row + buffer.ybase,
    set: (line) => (row = line - buffer.ybase),
  });
}

/** Extended attributes, but with this link. */
function withLink(extended, link) {
  const copy = extended.clone();
  copy.urlId = link;
  return copy;
}

/** A link should last while anything is drawn with it; xterm's is gone with the line on which it was opened. */
function mendLinks({ core }) {
  core._oscLinkService._removeMarkerFromLink = () => {};
}

/** Where the last character begins that is cut off at the end, or the end: xterm loses one that is cut behind a byte 0x80. */
export function wholeCharacters(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return back < length ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
