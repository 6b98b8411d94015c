/**
 * A foreign terminal, as the page has it but for the drawing, and its state in
 * terms that two of them can be compared by.
 *
 * Much of what decides how the next bytes are taken (saved cursor, margins, tab
 * stops, character sets) has no public name in xterm; the version is pinned, and
 * `check` fails loudly when one of the private names is gone.
 */

import headless from "@xterm/headless";
import { mend, wholeCharacters } from "./mends.mjs";
import { provider } from "./widths.mjs";

/** Kinds of colour events. */
const SET = 1;
const RESTORE = 2;
/** The first of the three special colours, which follow the palette. */
const SPECIAL = 256;

export class Emulator {
  /** Colours set by OSC 4, 10, 11, 12 and not taken back: index to `r,g,b`. */
  colours = new Map();
  /** The beginning of a character that is not complete yet. */
  #tail = Buffer.alloc(0);

  constructor(cols, rows, scrollback = 0) {
    this.term = new headless.Terminal({
      allowProposedApi: true,
      cols,
      cursorBlink: true,
      logLevel: "off",
      rows,
      scrollback,
      // Programs that put a title away and bring it back; the worker follows them.
      windowOptions: { popTitle: true, pushTitle: true },
    });
    this.term.unicode.register(provider);
    this.term.unicode.activeVersion = provider.version;
    this.core = this.term._core;
    this.input = this.core._inputHandler;
    this.buffers = this.core._bufferService.buffers;
    this.input.onColor((events) => events.forEach((event) => this.#coloured(event)));
    mend(this);
  }

  /**
   * Parses `bytes` before it returns.
   *
   * Never a piece of a character; the page sees to that in the same way.
   */
  feed(bytes) {
    const all = this.#tail.length > 0 ? Buffer.concat([this.#tail, bytes]) : bytes;
    const end = wholeCharacters(all);
    this.#tail = all.subarray(end);
    if (end > 0) this.core._writeBuffer.writeSync(all.subarray(0, end));
  }

  dispose() {
    this.term.dispose();
  }

  #coloured({ type, index, color }) {
    if (type === SET) this.colours.set(index, color.join());
    else if (type === RESTORE && index !== undefined) this.colours.delete(index);
    else if (type === RESTORE) for (const known of [...this.colours.keys()]) if (known < SPECIAL) this.colours.delete(known);
  }

  /** The link that a cell's or a pen's extended attributes name. */
  link(extended) {
    const id = extended?.urlId;
    return id ? this.core._oscLinkService.getLinkData(id) : undefined;
  }

  /** How the next character is drawn. */
  pen() {
    return this.input._curAttrData;
  }

  /** What is neither in a cell nor in a screen, by name. */
  modes() {
    const { coreService, coreMouseService, _charsetService: sets, optionsService } = this.core;
    const { decPrivateModes: dec, modes } = coreService;
    return {
      screen: this.buffers.active === this.buffers.alt ? "alternate" : "primary",
      insert: modes.insertMode,
      newline: optionsService.rawOptions.convertEol,
      applicationCursor: dec.applicationCursorKeys,
      applicationKeypad: dec.applicationKeypad,
      bracketedPaste: dec.bracketedPasteMode,
      origin: dec.origin,
      reverseWraparound: dec.reverseWraparound,
      focusReports: dec.sendFocus,
      wraparound: dec.wraparound,
      synchronized: dec.synchronizedOutput,
      mouse: coreMouseService.activeProtocol,
      mouseEncoding: coreMouseService.activeEncoding,
      cursorHidden: coreService.isCursorHidden,
      cursorStyle: dec.cursorStyle ?? "default",
      cursorBlink: dec.cursorBlink ?? optionsService.rawOptions.cursorBlink,
      shift: sets.glevel,
      sets: [0, 1, 2, 3].map((g) => setName(sets._charsets[g])).join(),
      set: setName(sets.charset),
      title: this.input._windowTitle,
      titles: JSON.stringify(this.input._windowTitleStack),
      iconName: this.input._iconName,
      iconNames: JSON.stringify(this.input._iconNameStack),
      colours: [...this.colours].map((entry) => entry.join("=")).sort().join(" "),
    };
  }

  /** Cursor, margins and tab stops of one screen. */
  place(buffer) {
    const tabs = Object.keys(buffer.tabs).filter((column) => buffer.tabs[column] && column < this.term.cols);
    return {
      column: buffer.x,
      row: buffer.y,
      marginTop: buffer.scrollTop,
      marginBottom: buffer.scrollBottom,
      tabs: tabs.map(Number).sort((a, b) => a - b).join(),
    };
  }

  /** What DECRC would bring back on one screen; it clamps, so that is done here too. */
  saved(buffer) {
    return {
      column: Math.min(buffer.savedX, this.term.cols - 1),
      row: Math.min(Math.max(buffer.savedY - buffer.ybase, 0), this.term.rows - 1),
      set: setName(buffer.savedCharset),
    };
  }
}

/** Character sets are tables without a name: told apart by what they make of four characters. */
function setName(set) {
  return set ? ["x", "}", "#", "@"].map((char) => set[char] ?? char).join("") : "ascii";
}

/** Fails when this xterm lacks one of the private names above. */
export function check() {
  const emulator = new Emulator(2, 1);
  const { core, input, buffers } = emulator;
  const line = buffers.active.lines.get(0);
  const needed = {
    writeSync: core._writeBuffer.writeSync,
    pen: input._curAttrData,
    erase: input.eraseInDisplay,
    attributes: input.charAttributes,
    save: input.saveCursor,
    restore: input.restoreCursor,
    reset: input.softReset,
    forgetLink: core._oscLinkService._removeMarkerFromLink,
    title: input._windowTitle,
    titles: input._windowTitleStack,
    sets: core._charsetService._charsets,
    links: core._oscLinkService.getLinkData,
    tabs: buffers.active.tabs,
    savedX: buffers.active.savedX,
    savedPen: buffers.active.savedCurAttrData,
    margins: buffers.active.scrollTop,
    cells: line._data,
    combined: line._combined,
    extended: line._extendedAttrs,
  };
  emulator.dispose();
  for (const [name, value] of Object.entries(needed)) {
    if (value === undefined) throw new Error(`this xterm has no \`${name}\`: the oracle reads version 6.0.0`);
  }
}
