/** Pastes and drops into the terminal: text goes on, an image cannot be typed. */

export interface PasteListener {
  text(text: string): void;
  /** A file or an image: there is nothing to type of it. */
  file(): void;
}

/** Hears them before the emulator does. Returns how to stop. */
export function listenForPastes(box: HTMLElement, listener: PasteListener): () => void {
  const take = (event: Event, data: DataTransfer | null): void => {
    if (!data) return;
    event.preventDefault();
    event.stopPropagation();
    const text = data.getData("text/plain");
    if (text !== "") listener.text(text);
    else if (data.files.length > 0 || [...data.items].some(({ kind }) => kind === "file")) listener.file();
  };
  const stop = new AbortController();
  const how = { capture: true, signal: stop.signal };
  box.addEventListener("paste", (event) => take(event, event.clipboardData), how);
  box.addEventListener("drop", (event) => take(event, event.dataTransfer), how);
  box.addEventListener("dragover", (event) => event.preventDefault(), how);
  return () => stop.abort();
}
