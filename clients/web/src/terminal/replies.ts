/**
 * Tells what a person typed from what the emulator says by itself.
 *
 * Promotion is a verb: only typing may take a free lease. xterm hands out keys,
 * pastes, mouse and focus reports and answers to queries through one callback,
 * so they are told apart by form.
 */

/**
 * - `typed`: a key, a paste or a finished composition
 * - `report`: mouse or focus; input for the lease owner, never a claim
 * - `reply`: an answer to a query; the worker answers those, so it is dropped
 */
export type Origin = "typed" | "report" | "reply";

const ESC = "\x1b";

const FOCUS = /^\x1b\[[IO]$/;
// SGR, urxvt and the old three-byte form.
const MOUSE = /^(?:\x1b\[<\d+;\d+;\d+[Mm]|\x1b\[\d+;\d+;\d+M|\x1b\[M[^]{3})+$/;
// DA1/DA2/DA3, DSR and CPR, DECRPM, window reports, kitty keyboard flags.
const CSI_REPLY = /^\x1b\[(?:[?>=]?[\d;]*c|\??[\d;]*n|\??\d+;\d+(?:;\d+)?R|\??[\d;]*\$y|[468];\d+;\d+t|\?\d+u)$/;
// A string reply (OSC, DCS, APC, PM) has a body and an end. Alt+] alone is the
// introducer without either, and stays a key.
const STRING_REPLY = /^\x1b[\]P_^][^]+(?:\x07|\x1b\\)$/;
// F3 with a modifier has the form of a cursor report for row 1. Queries are
// swallowed before the emulator sees them, so here it can only be the key.
const MODIFIED_F3 = /^\x1b\[1;[2-9]R$/;

export function originOf(data: string): Origin {
  if (!data.startsWith(ESC) || MODIFIED_F3.test(data)) return "typed";
  if (FOCUS.test(data) || MOUSE.test(data)) return "report";
  if (CSI_REPLY.test(data) || STRING_REPLY.test(data)) return "reply";
  return "typed";
}

/** The control character a key makes together with Ctrl, for keyboards without that key. */
export function withCtrl(data: string): string {
  if (data.length !== 1) return data;
  const code = data.toUpperCase().charCodeAt(0);
  if (data === " ") return "\x00";
  if (data === "?") return "\x7f";
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : data;
}
