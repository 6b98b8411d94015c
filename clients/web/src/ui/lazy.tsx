/** A part of the page that is fetched when it is first shown. */

import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";

/** `name` is what people read while it comes, and when it does not. */
export function lazy(name: string, load: () => Promise<ComponentType>): ComponentType {
  const part = signal<ComponentType | null>(null);
  const failed = signal(false);
  const fetchIt = (): void => {
    failed.value = false;
    load().then((loaded) => (part.value = loaded), () => (failed.value = true));
  };
  return function Lazy() {
    useEffect(() => {
      if (part.peek() === null) fetchIt();
    }, []);
    const { value: Part } = part;
    if (Part) return <Part />;
    if (!failed.value) return <p class="empty" aria-busy="true">Opening {name}…</p>;
    return (
      <p class="empty" role="alert">
        {name} could not be fetched. <button type="button" class="button small" onClick={fetchIt}>Try again</button>
      </p>
    );
  };
}
