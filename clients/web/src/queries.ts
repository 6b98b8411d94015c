/**
 * Takes queries out of the output before the emulator answers them.
 *
 * The worker answers every query, attached or not. An answer from here would be
 * a second one, typed into whatever reads the terminal by then.
 */

import type { IDisposable, IParser } from "@xterm/xterm";

/** Control sequences that do nothing but ask. */
const CSI_QUERIES: readonly { prefix?: string; intermediates?: string; final: string }[] = [
  { final: "c" }, // DA1
  { prefix: ">", final: "c" }, // DA2
  { prefix: "=", final: "c" }, // DA3
  { final: "n" }, // DSR, CPR
  { prefix: "?", final: "n" }, // DECXCPR and friends
  { intermediates: "$", final: "p" }, // DECRQM, ANSI modes
  { prefix: "?", intermediates: "$", final: "p" }, // DECRQM, private modes
  { prefix: ">", final: "q" }, // XTVERSION
  { prefix: "?", final: "u" }, // kitty keyboard flags
  { final: "x" }, // DECREQTPARM
];

/** Colours are set and asked for by the same command; only asking is swallowed. */
const OSC_COLOURS = [4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
/** Of these one command names pairs of index and colour; of the others, a colour each. */
const OSC_INDEXED: ReadonlySet<number> = new Set([4, 5]);
/** Window operations that report; the others set titles. */
const WINDOW_REPORTS: ReadonlySet<unknown> = new Set([11, 13, 14, 15, 16, 18, 19, 20, 21]);

export function swallowQueries(parser: IParser): IDisposable[] {
  return [
    ...CSI_QUERIES.map((id) => parser.registerCsiHandler(id, () => true)),
    parser.registerCsiHandler({ final: "t" }, (params) => WINDOW_REPORTS.has(params[0])),
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true), // DECRQSS
    parser.registerDcsHandler({ intermediates: "+", final: "q" }, () => true), // XTGETTCAP
    ...OSC_COLOURS.map((command) => parser.registerOscHandler(command, (data) => onlyAsks(data, OSC_INDEXED.has(command)))),
  ];
}

/** A command that also sets a colour goes on to the emulator; `replies.ts` drops what that says to the rest of it. */
function onlyAsks(data: string, indexed: boolean): boolean {
  const colours = data.split(";").filter((_, at) => !indexed || at % 2 === 1);
  return colours.length > 0 && colours.every((colour) => colour === "?");
}
