/*
 * Shows the page where nothing answers, so that an installed Baton opens and
 * says what is wrong instead of the browser.
 *
 * Only files of the page are kept, and never an answer of the bridge. The page
 * itself comes from the bridge whenever that answers, so that both are of one
 * version; its parts carry their content's hash in the name and never change.
 */

const KEPT = "baton-page-1";
const PARTS_MAX = 80;
/** A bridge that neither answers nor refuses is as good as gone. */
const PATIENCE_MS = 4_000;

self.addEventListener("install", (event) => {
  // The page that brought us was loaded without us: what it is made of is read once more, mostly from the browser's own cache.
  event.waitUntil(keepPage().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith("baton-") && name !== KEPT).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate" && url.pathname === "/") event.respondWith(pageFirst(request));
  else if (url.pathname.startsWith("/assets/")) event.respondWith(part(request));
});

async function keepPage() {
  const kept = await caches.open(KEPT);
  const response = await fetch("/", { cache: "no-cache" });
  if (!(await isPage(response))) return;
  const parts = [...(await response.clone().text()).matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path]) => path);
  await kept.put("/", response);
  await Promise.all(parts.map((path) => kept.add(path).catch(() => undefined)));
}

async function pageFirst(request) {
  const kept = await caches.open(KEPT);
  try {
    const response = await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (await isPage(response)) await kept.put("/", response.clone());
    // A proxy in front answers for a bridge that is gone.
    if (response.status >= 502 && response.status <= 504) return (await kept.match("/")) ?? response;
    return response;
  } catch (error) {
    const page = await kept.match("/");
    if (page) return page;
    throw error;
  }
}

/** Ours, and not the login of a proxy in front of it. */
async function isPage(response) {
  return response.ok && !response.redirected && (await response.clone().text()).includes('<div id="app">');
}

async function part(request) {
  const kept = await caches.open(KEPT);
  const known = await kept.match(request);
  if (known) return known;
  const response = await fetch(request);
  if (response.ok) {
    await kept.put(request, response.clone());
    const parts = (await kept.keys()).filter(({ url }) => new URL(url).pathname.startsWith("/assets/"));
    await Promise.all(parts.slice(0, -PARTS_MAX).map((old) => kept.delete(old)));
  }
  return response;
}
