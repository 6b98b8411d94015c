/** The session's screen, small. The row says in words what matters of it. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { paletteOf } from "../settings/palettes";
import { store } from "../state";
import { paint } from "./picture";

const SIZE = { width: 84, height: 54 } as const;

export function Thumbnail({ id, shown }: { id: string; shown: boolean }) {
  return (
    <span class="thumbnail" aria-hidden="true">
      {shown && <Canvas id={id} />}
    </span>
  );
}

function Canvas({ id }: { id: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const screen = store.desk.pictures.of(id).value;
  const palette = paletteOf(store.settings.value, store.shade.value);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d", { alpha: false });
    if (!canvas.current || !context || !screen) return;
    const scale = Math.min(3, Math.max(1, devicePixelRatio));
    const [width, height] = [Math.round(SIZE.width * scale), Math.round(SIZE.height * scale)];
    if (canvas.current.width !== width) [canvas.current.width, canvas.current.height] = [width, height];
    context.setTransform(scale, 0, 0, scale, 0, 0);
    paint(context, SIZE, screen, palette);
  }, [screen, palette]);
  return <canvas ref={canvas} class="thumbnail-canvas" data-testid="thumbnail" data-drawn={screen !== null} />;
}
