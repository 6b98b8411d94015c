/** One tick a second for whoever subscribes, also while the tab is hidden. */

type Listener = () => void;

const listeners = new Set<Listener>();
let started = false;

export function onPulse(listener: Listener): () => void {
  start();
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function start(): void {
  if (started) return;
  started = true;
  const tick = (): void => listeners.forEach((listener) => listener());
  try {
    const worker = new Worker(new URL("./pulse.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = tick;
    worker.onerror = () => setInterval(tick, 1000);
  } catch {
    setInterval(tick, 1000);
  }
}
