/** Two fingers change how large the screen is drawn; whose size it is, they do not. */

/** Smaller is for an overview, larger for one word. */
export const PINCH_PX = { least: 4, most: 32 } as const;

/** The font after the fingers moved apart by `scale`, in quarters of a pixel. */
export function fontAfterPinch(font: number, scale: number): number {
  const wanted = Math.round(font * scale * 4) / 4;
  return Math.min(PINCH_PX.most, Math.max(PINCH_PX.least, Number.isFinite(wanted) ? wanted : font));
}
