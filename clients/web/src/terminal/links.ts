/**
 * Links in the terminal: only `http` and `https`, opened apart from this page, and never without their target having been shown.
 *
 * A plain address is its own target. What OSC 8 hangs behind other words is asked about.
 */

import { WebLinksAddon } from "@xterm/addon-web-links";
import { signal, type ReadonlySignal } from "@preact/signals";
import type { ILinkHandler, Terminal } from "@xterm/xterm";

const LINK_CHARS_MAX = 4096;

export class Links implements ILinkHandler {
  readonly #hovered = signal<string | null>(null);
  readonly #asked = signal<string | null>(null);

  /** The target under the mouse. */
  get hovered(): ReadonlySignal<string | null> { return this.#hovered; }
  /** The target that somebody wants to open and may not have seen. */
  get asked(): ReadonlySignal<string | null> { return this.#asked; }

  /** Makes addresses in `term` links. */
  attach(term: Terminal): void {
    term.loadAddon(new WebLinksAddon((_event, uri) => openLink(uri), { hover: (_event, uri) => this.hover(_event, uri), leave: () => this.leave() }));
  }

  activate(_event: MouseEvent, uri: string): void {
    this.#asked.value = targetOf(uri);
  }

  hover(_event: MouseEvent, uri: string): void {
    this.#hovered.value = targetOf(uri);
  }

  leave(): void {
    this.#hovered.value = null;
  }

  answer(open: boolean): void {
    const target = this.#asked.peek();
    this.#asked.value = null;
    if (open && target) openLink(target);
  }
}

/** Where a link leads, spelled in ASCII as the browser will ask for it; null for what is not opened. */
export function targetOf(uri: string): string | null {
  if (uri.length > LINK_CHARS_MAX || !URL.canParse(uri)) return null;
  const { href, protocol, username, password } = new URL(uri);
  // A name before the host is there to look like one.
  return (protocol === "http:" || protocol === "https:") && username === "" && password === "" ? href : null;
}

function openLink(uri: string): void {
  const target = targetOf(uri);
  if (target) window.open(target, "_blank", "noopener,noreferrer");
}
