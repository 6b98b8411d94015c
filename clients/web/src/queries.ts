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
];

/** Colours are set and asked for by the same command; only asking is swallowed. */
const OSC_COLOURS = [4, 10, 11, 12];
/** Window operations that report; the others set titles. */
const WINDOW_REPORTS: ReadonlySet<unknown> = new Set([11, 13, 14, 15, 16, 18, 19, 20, 21]);

export function swallowQueries(parser: IParser): IDisposable[] {
  return [
    ...CSI_QUERIES.map((id) => parser.registerCsiHandler(id, () => true)),
    parser.registerCsiHandler({ final: "t" }, (params) => WINDOW_REPORTS.has(params[0])),
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true), // DECRQSS
    parser.registerDcsHandler({ intermediates: "+", final: "q" }, () => true), // XTGETTCAP
    ...OSC_COLOURS.map((command) => parser.registerOscHandler(command, (data) => data.split(";").includes("?"))),
  ];
}
