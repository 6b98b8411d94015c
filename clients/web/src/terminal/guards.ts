/**
 * What a program may write and xterm.js 6.0 does not survive.
 *
 * A count is looped over as it stands, so one sequence of a dozen bytes keeps the page busy for minutes; and `CSI 1 J` in the very
 * last cell of a screen that never scrolled throws within the write, after which the terminal takes no byte any more. Both are cut to
 * what has the same effect. The methods called are those that the emulator calls itself; there is no public way to hand a changed
 * count on.
 */

import type { IDisposable, IParser } from "@xterm/xterm";

interface Params {
  length: number;
  params: number[];
}

type Method = "scrollUp" | "scrollDown" | "insertLines" | "deleteLines" | "cursorForwardTab" | "cursorBackwardTab" | "repeatPrecedingCharacter" | "eraseInDisplay";

/** The part of xterm.js's inside that is used here. */
interface Core {
  cols: number;
  rows: number;
  buffer: { x: number; y: number };
  _inputHandler: Record<Method, (params: Params) => unknown>;
}

/** More of these than the screen has lines do nothing more. */
const LINES: Readonly<Record<string, Method>> = { S: "scrollUp", T: "scrollDown", L: "insertLines", M: "deleteLines" };
/** More of these than a line has columns do nothing more. */
const TABS: Readonly<Record<string, Method>> = { I: "cursorForwardTab", Z: "cursorBackwardTab" };

export function guard(term: { parser: IParser }): IDisposable[] {
  const core = (term as unknown as { _core: Core })._core;
  const cut = (final: string, method: Method, most: (count: number) => number): IDisposable =>
    term.parser.registerCsiHandler({ final }, (params) => {
      const count = typeof params[0] === "number" ? params[0] : 0;
      const enough = most(count);
      if (count <= enough) return false;
      core._inputHandler[method]({ length: 1, params: [enough] });
      return true;
    });
  return [
    ...Object.entries(LINES).map(([final, method]) => cut(final, method, () => core.rows)),
    ...Object.entries(TABS).map(([final, method]) => cut(final, method, () => core.cols)),
    cut("b", "repeatPrecedingCharacter", (count) => {
      // Whole lines are left out, of characters of either width, so that the last one ends where it would.
      const screenful = core.cols * (2 * core.rows + 1);
      const lines = core.cols * Math.max(1, Math.floor(core.cols / 2));
      return count > screenful + lines ? screenful + ((count - screenful) % lines) : count;
    }),
    term.parser.registerCsiHandler({ final: "J" }, (params) => {
      const { x, y } = core.buffer;
      if (params[0] !== 1 || y + 1 < core.rows || x + 1 < core.cols) return false;
      // In the last cell everything is before the cursor.
      core._inputHandler.eraseInDisplay({ length: 1, params: [2] });
      return true;
    }),
  ];
}
