/**
 * Takes queries out of the output before the emulator answers them.
 *
 * The worker answers every query, attached or not. An answer from here would be
 * a second one, typed into whatever reads the terminal by then. What a query is
 * the worker says (`screen/src/queries/`); a table of examples that both are
 * tested with keeps this list at its side, also where the emulator of today
 * would not have answered.
 */

import type { IDisposable, IFunctionIdentifier, IParser } from "@xterm/xterm";

/** Control sequences that do nothing but ask. */
const CSI_QUERIES: readonly IFunctionIdentifier[] = [
  { final: "c" }, // DA1
  { prefix: ">", final: "c" }, // DA2
  { prefix: "=", final: "c" }, // DA3
  { final: "n" }, // DSR, CPR
  { prefix: "?", final: "n" }, // DECXCPR and friends
  { intermediates: "$", final: "p" }, // DECRQM, ANSI modes
  { prefix: "?", intermediates: "$", final: "p" }, // DECRQM, private modes
  { prefix: ">", final: "q" }, // XTVERSION
  { prefix: "?", final: "u" }, // kitty keyboard flags
  { prefix: "?", final: "m" }, // XTQMODKEYS
  { prefix: "?", final: "g" }, // XTQFMTKEYS
  { prefix: "?", final: "S" }, // XTSMGRAPHICS
  { final: "x" }, // DECREQTPARM
  { intermediates: '"', final: "v" }, // DECRQDE
  { intermediates: "#", final: "|" }, // XTREPORTSGR
  { intermediates: "#", final: "S" }, // XTTITLEPOS
  { intermediates: "*", final: "y" }, // DECRQCRA
  { intermediates: "$", final: "w" }, // DECRQPSR
  { intermediates: "$", final: "u" }, // DECRQTSR
  { intermediates: "&", final: "u" }, // DECRQUPSS
  { intermediates: "'", final: "|" }, // DECRQLP
];

/** Window operations that report; the others set titles. */
const WINDOW_REPORTS: ReadonlySet<unknown> = new Set([11, 13, 14, 15, 16, 18, 19, 20, 21]);
/** Of kitty's operations on cursors, those that ask. */
const CURSOR_REPORTS: ReadonlySet<unknown> = new Set([0, 100, 101]);

/** Colours are set and asked for by the same command; only asking is swallowed. */
const OSC_COLOURS = [4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
/** Of these one command names pairs of index and colour; of the others, a colour each. */
const OSC_INDEXED: ReadonlySet<number> = new Set([4, 5]);

const fields = (data: string): string[] => data.split(";");
const keys = (data: string): string[] => (fields(data)[0] ?? "").split(":");
const beginsWithMark = (data: string): boolean => data.startsWith("?");

/** Other commands, and when they ask. */
const OSC_QUERIES: readonly (readonly [number, (data: string) => boolean])[] = [
  [3, beginsWithMark], // X properties
  [21, (data) => fields(data).some((field) => field.endsWith("=?"))], // kitty colours
  [22, beginsWithMark], // pointer shapes
  [50, beginsWithMark], // the font
  [52, (data) => fields(data)[1] === "?"], // the clipboard is nobody's to read
  [60, () => true], // allowed features
  [61, () => true], // disallowed ones
  [99, (data) => keys(data).some((key) => key === "p=?" || key === "p=alive")], // notifications
  [701, beginsWithMark], // the locale
  [702, beginsWithMark], // the font
  [1337, (data) => ["Report", "RequestUpload", "Capabilities"].some((word) => data.startsWith(word))], // iTerm2
  [5522, (data) => keys(data).includes("type=read")], // kitty's clipboard
];

export function swallowQueries(parser: IParser): IDisposable[] {
  return [
    ...CSI_QUERIES.map((id) => parser.registerCsiHandler(id, () => true)),
    parser.registerCsiHandler({ final: "t" }, (params) => WINDOW_REPORTS.has(params[0])),
    parser.registerCsiHandler({ prefix: ">", intermediates: " ", final: "q" }, (params) => CURSOR_REPORTS.has(params[0] ?? 0)),
    parser.registerEscHandler({ final: "Z" }, () => true), // DECID
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true), // DECRQSS
    parser.registerDcsHandler({ intermediates: "+", final: "q" }, () => true), // XTGETTCAP
    parser.registerDcsHandler({ intermediates: "+", final: "Q" }, () => true), // XTGETXRES
    ...OSC_COLOURS.map((command) => parser.registerOscHandler(command, (data) => onlyAsks(data, OSC_INDEXED.has(command)))),
    ...OSC_QUERIES.map(([command, asks]) => parser.registerOscHandler(command, asks)),
  ];
}

/** A command that also sets a colour goes on to the emulator; `replies.ts` drops what that says to the rest of it. */
function onlyAsks(data: string, indexed: boolean): boolean {
  const colours = fields(data).filter((_, at) => !indexed || at % 2 === 1);
  return colours.length > 0 && colours.every((colour) => colour === "?");
}
