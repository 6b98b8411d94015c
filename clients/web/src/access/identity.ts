/**
 * Who this tab is to Baton, and what it remembers between visits.
 *
 * Storage may be refused by the browser, or full; then the page works, and forgets
 * with a reload.
 */

const KEY = "baton.key";
const CLIENT_ID = "baton.client_id";
/** Whose it is: Baton knows each client id as one principal's. */
const CLIENT_OF = "baton.client_of";

/** The per-login key; with the cookie it is the login, alone neither is. */
export const loginKey = {
  read: (): string | null => read("localStorage", KEY),
  write: (key: string): void => write("localStorage", KEY, key),
  clear: (): void => forget("localStorage", KEY),
};

/**
 * This tab's `client_id`. It outlives a reload, so that reloading keeps the
 * lease. A duplicated tab inherits it; the bridge then replaces the older one.
 * Whoever signs in after somebody else in the same tab has one of their own.
 */
export function clientId(principal: string): string {
  const of = read("sessionStorage", CLIENT_OF);
  const known = of === null || of === principal ? read("sessionStorage", CLIENT_ID) : null;
  if (of !== principal) write("sessionStorage", CLIENT_OF, principal);
  return known ?? freshClientId();
}

/** Makes this tab a client of its own, after another took its place. */
export function freshClientId(): string {
  const id = uuid();
  write("sessionStorage", CLIENT_ID, id);
  return id;
}

/** Names one attachment's run of input numbers; below 2^53. */
export function newInputStream(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
}

/** A random UUID; `crypto.randomUUID` exists in secure contexts only. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export function readStored(key: string): string | null {
  return read("localStorage", key);
}

export function writeStored(key: string, value: string): void {
  write("localStorage", key, value);
}

type StorageName = "localStorage" | "sessionStorage";

/** What could not be stored is kept as long as the page. */
const kept = new Map<string, string>();

function read(storage: StorageName, key: string): string | null {
  const unstored = kept.get(`${storage} ${key}`);
  if (unstored !== undefined) return unstored;
  try {
    // Where storage is forbidden its very name throws.
    return globalThis[storage].getItem(key);
  } catch {
    return null;
  }
}

function write(storage: StorageName, key: string, value: string): void {
  try {
    globalThis[storage].setItem(key, value);
    kept.delete(`${storage} ${key}`);
  } catch {
    kept.set(`${storage} ${key}`, value);
  }
}

function forget(storage: StorageName, key: string): void {
  kept.delete(`${storage} ${key}`);
  try {
    globalThis[storage].removeItem(key);
  } catch {
    // Nothing was stored.
  }
}
