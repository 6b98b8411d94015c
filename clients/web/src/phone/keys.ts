/** What the keys of the key bar send, as xterm would send them for a keyboard's. */

import { withCtrl } from "../terminal/replies";

export type KeyName = "escape" | "tab" | "back_tab" | "left" | "down" | "up" | "right" | "home" | "end" | "page_up" | "page_down";

const CURSOR_KEYS: Readonly<Partial<Record<KeyName, string>>> = { up: "A", down: "B", right: "C", left: "D", end: "F", home: "H" };
const OTHERS: Readonly<Partial<Record<KeyName, string>>> = { escape: "\x1b", tab: "\t", back_tab: "\x1b[Z", page_up: "\x1b[5~", page_down: "\x1b[6~" };

/** `application`: the program asked for the other form of the cursor keys. */
export function keyBytes(name: KeyName, application: boolean): string {
  const letter = CURSOR_KEYS[name];
  return letter ? `\x1b${application ? "O" : "["}${letter}` : (OTHERS[name] ?? "");
}

const CURSOR_KEY = /^\x1b[[O]([A-DFH])$/;
const NUMBERED_KEY = /^\x1b\[(\d+)~$/;

/** The same key pressed together with Ctrl, Alt or both. A paste or a whole word stays as it is. */
export function modified(data: string, { ctrl, alt }: { ctrl: boolean; alt: boolean }): string {
  if (!ctrl && !alt) return data;
  const number = 1 + (alt ? 2 : 0) + (ctrl ? 4 : 0);
  const cursor = CURSOR_KEY.exec(data);
  if (cursor) return `\x1b[1;${number}${cursor[1] ?? ""}`;
  const numbered = NUMBERED_KEY.exec(data);
  if (numbered) return `\x1b[${numbered[1] ?? ""};${number}~`;
  if ([...data].length !== 1) return data;
  return (alt ? "\x1b" : "") + (ctrl ? withCtrl(data) : data);
}
