/** Which question about sharing is open, and the links that were made. */

import { signal } from "@preact/signals";
import { MadeLinks } from "./made_links";

export class ShareState {
  readonly open = signal<"watch" | "elsewhere" | null>(null);
  readonly made = new MadeLinks(Date.now());
}
