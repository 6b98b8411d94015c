/** While a keyboard covers a part of the terminal, the line that is typed into stays above it. */

import { cellOf } from "../terminal/fit";
import type { Screen } from "../terminal/screen";

export interface InSight {
  look(): void;
  dispose(): void;
}

export function keepCursorInSight(screen: Screen, box: HTMLElement): InSight {
  const { term } = screen;
  let frame = 0;
  const look = (): void => {
    frame = 0;
    const cell = cellOf(term);
    if (screen.covered === 0 || !cell) return;
    const top = term.buffer.active.cursorY * cell.height;
    const bottom = top + cell.height;
    if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
    else if (top < box.scrollTop) box.scrollTop = top;
  };
  const moved = term.onCursorMove(() => (frame ||= requestAnimationFrame(look)));
  return {
    look,
    dispose: () => {
      cancelAnimationFrame(frame);
      moved.dispose();
    },
  };
}
