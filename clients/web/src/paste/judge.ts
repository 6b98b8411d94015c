/** What of a pasted text is typed, and when somebody should look at it before. */

import { hasHidden } from "../ui/plain_text";

const ASK_BYTES = 5 * 1024;
const encoder = new TextEncoder();

/** Controls that a terminal would act on: an Escape could end a bracketed paste, and what follows it would be typed. */
const CONTROLS = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;
const BREAKS = /\r\n|\r|\n/g;

export type Reason = "lines" | "large" | "hidden";

export interface PasteQuestion {
  text: string;
  lines: number;
  bytes: number;
  reasons: readonly Reason[];
}

/** Lines as a reader counts them: a break at the end begins no other. */
export function linesOf(text: string): number {
  const breaks = text.match(BREAKS)?.length ?? 0;
  return breaks + (/[\r\n]$/.test(text) ? 0 : 1);
}

/**
 * What to ask before `text` is pasted; null when it may be at once.
 *
 * A program that asked for bracketed pastes tells them from typing; any other runs each line as it comes.
 */
export function questionOf(text: string, bracketed: boolean): PasteQuestion | null {
  const bytes = encoder.encode(text).length;
  const lines = linesOf(text);
  const reasons: Reason[] = [];
  // One line with its end is run by what reads it, too.
  if (!bracketed && /[\r\n]/.test(text)) reasons.push("lines");
  if (bytes > ASK_BYTES) reasons.push("large");
  if (hasHidden(text.replace(BREAKS, "\n"))) reasons.push("hidden");
  return reasons.length === 0 ? null : { text, lines, bytes, reasons };
}

/** The bytes that are typed for `text`. Nothing in it can end a bracketed paste. */
export function pasteBytes(text: string, bracketed: boolean): Uint8Array {
  const plain = text.replace(CONTROLS, "").replace(BREAKS, "\r");
  return encoder.encode(bracketed ? `\x1b[200~${plain}\x1b[201~` : plain);
}

/** The same in one line. */
export function inOneLine(text: string): string {
  return text.replace(/[\t ]*(?:\r\n|\r|\n)[\t ]*/g, " ").trim();
}
