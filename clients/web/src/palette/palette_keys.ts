/**
 * The keys that open the palette.
 *
 * Ctrl+K is the shell's, so within the terminal it takes Shift; Cmd+K no
 * program gets. Ctrl+Shift+P is what editors use.
 */

export function opensPalette(event: Pick<KeyboardEvent, "code" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">, inTerminal: boolean): boolean {
  const { code, ctrlKey, metaKey, shiftKey, altKey } = event;
  if (altKey || ctrlKey === metaKey) return false;
  if (shiftKey) return code === "KeyK" || code === "KeyP";
  return code === "KeyK" && (metaKey || !inTerminal);
}
