/** The page as an installed program: its frame in the theme's colour, and a page that opens without a bridge. */

import type { Shade } from "../settings/settings";

const FRAME: Readonly<Record<Shade, string>> = { dark: "#14181e", light: "#f5f7f9" };

/** The colour of the window's frame, which the browser chose by the system's scheme until somebody chose another here. */
export function colourFrame(shade: Shade): void {
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) meta.content = FRAME[shade];
}

/** Exists in secure contexts only; without it the page works and needs the bridge to open. */
export function openWithoutBridge(): void {
  const { serviceWorker } = navigator as Partial<Navigator>;
  // In development the page changes under its feet.
  if (!serviceWorker || import.meta.env.DEV) return;
  const register = (): void => void serviceWorker.register("/sw.js", { updateViaCache: "none" }).catch(() => undefined);
  // What is seen first comes first.
  if (document.readyState === "complete") register();
  else addEventListener("load", register);
}
