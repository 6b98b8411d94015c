/** A QR code as an image of real elements. Dark on light in both themes: cameras want it so. */

import { useEffect, useRef } from "preact/hooks";
import { encode } from "uqr";

/** The light margin that readers need, in modules. */
const QUIET = 4;

export function QrCode({ text, label }: { text: string; label: string }) {
  const image = useRef<SVGSVGElement>(null);
  // It was just asked for, and a small window may have no room for it where it stands.
  useEffect(() => image.current?.scrollIntoView({ block: "nearest" }), [text]);
  const { data, size } = encode(text, { ecc: "M", border: QUIET });
  return (
    <svg ref={image} class="qr" role="img" aria-label={label} viewBox={`0 0 ${size} ${size}`} shape-rendering="crispEdges" data-testid="qr">
      <rect width={size} height={size} fill="#ffffff" />
      <path d={data.map(rowPath).join("")} fill="#000000" />
    </svg>
  );
}

/** The dark runs of a row. */
function rowPath(row: readonly boolean[], y: number): string {
  let path = "";
  for (let x = 0; x < row.length; x++) {
    if (!row[x]) continue;
    const start = x;
    while (row[x + 1]) x += 1;
    path += `M${start} ${y}h${x + 1 - start}v1h-${x + 1 - start}z`;
  }
  return path;
}
