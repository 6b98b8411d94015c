/** A folder's name, short enough for a row. */

const HOME = /^(?:\/root|\/home\/[^/]+|\/Users\/[^/]+)(?=\/|$)/;

/** `~` for a home folder, and the middle left out of what is still longer than `chars_max`. */
export function shortFolder(path: string, chars_max: number): string {
  const short = path.replace(HOME, "~");
  if (short.length <= chars_max) return short;
  const parts = short.split("/");
  const first = parts[0] === "~" ? "~/" : "/";
  for (let kept = Math.min(3, parts.length - 1); kept > 1; kept--) {
    const text = `${first}…/${parts.slice(-kept).join("/")}`;
    if (text.length <= chars_max) return text;
  }
  const last = parts.at(-1) ?? "";
  return `…/${last.length + 2 <= chars_max ? last : `${last.slice(0, Math.max(1, chars_max - 3))}…`}`;
}
