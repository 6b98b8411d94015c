/** Files handed to the user. */

const NAME_CHARS_MAX = 80;

/** A name every file system takes. */
export function fileNameOf(name: string): string {
  const plain = name.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[.-]+|[.-]+$/g, "");
  return plain.slice(0, NAME_CHARS_MAX) || "session";
}

/** Saves `content`. A link to the route would do, but a link carries no login key. */
export function saveFile(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun by then; the blob lives as long as it needs it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
