/** Bytes to be typed, written as text that says every byte, and read back: `ls\r`, `\x1b[A`, `\\`. */

import { withEscapes } from "../ui/plain_text";

const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,6})\}|([\s\S]?))/g;
const NAMED: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\" };

export function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

export function base64Of(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Every byte: what is no text, or would not be seen, as its escape. */
export function typedText(bytes: Uint8Array): string {
  let text = "";
  let from = 0;
  while (from < bytes.length) {
    const length = wholeAt(bytes, from);
    if (length === 0) text += `\\x${(bytes[from++] ?? 0).toString(16).padStart(2, "0")}`;
    else {
      text += withEscapes(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(from, from + length)));
      from += length;
    }
  }
  return text;
}

/** The bytes that such a text says; throws with what is wrong in it. */
export function typedBytes(text: string): Uint8Array {
  const parts: Uint8Array[] = [];
  const encoder = new TextEncoder();
  let from = 0;
  for (const found of text.matchAll(ESCAPE)) {
    parts.push(encoder.encode(text.slice(from, found.index)));
    from = found.index + found[0].length;
    const [, byte, code, name] = found;
    if (byte !== undefined) parts.push(Uint8Array.of(parseInt(byte, 16)));
    else if (code !== undefined && parseInt(code, 16) <= 0x10ffff) parts.push(encoder.encode(String.fromCodePoint(parseInt(code, 16))));
    else if (name !== undefined && NAMED[name] !== undefined) parts.push(encoder.encode(NAMED[name]));
    else throw new Error(`“${found[0]}” means nothing here: a backslash is \\\\, Enter is \\r, a byte is \\x1b`);
  }
  parts.push(encoder.encode(text.slice(from)));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** How many bytes at `from` are one whole character; 0 when they are none. */
function wholeAt(bytes: Uint8Array, from: number): number {
  const first = bytes[from] ?? 0;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(from, from + length));
    return from + length <= bytes.length ? length : 0;
  } catch {
    return 0;
  }
}
