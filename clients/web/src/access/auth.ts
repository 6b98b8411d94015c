/**
 * Signing in: with a one-time code from the address, with a remembered key, by
 * the name that a proxy says, or with a token typed by hand.
 */

import type { BatonClient } from "../api/client";
import { messageOf, Refused } from "../api/requests";
import { fragmentFor, parseFragment, type Fragment } from "./fragment";
import { loginKey } from "./identity";
import type { Principal } from "../api/protocol";

export type SignIn =
  | { state: "in"; principal: Principal }
  | { state: "out"; message: string | null }
  | { state: "unreachable"; message: string };

/**
 * Reads the address and takes a code out of it at once, before anything can
 * fail or be awaited: a code must not stay in the history or on the screen.
 */
export function takeFragment(): Fragment {
  const fragment = parseFragment(location.hash);
  if (fragment.code || fragment.share) history.replaceState(null, "", location.pathname + fragmentFor(fragment.session));
  return fragment;
}

/**
 * Keeps the address naming the session on the screen, for reloads and bookmarks.
 * From one session to another is a step that the browser's Back undoes.
 */
export function rememberSession(session: string | null): void {
  const before = parseFragment(location.hash).session;
  if (session === before) return;
  const address = location.pathname + fragmentFor(session);
  if (session !== null && before !== null) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

export async function signInWithCode(client: BatonClient, code: string): Promise<SignIn> {
  try {
    return { state: "in", principal: (await client.login({ code })).principal };
  } catch (error) {
    if (!(error instanceof Refused)) return { state: "unreachable", message: messageOf(error) };
    // A link works once; whoever is signed in already needs none.
    return otherwise(await signInUnasked(client), "This sign-in link was used already or is too old. Run `baton open` for a new one, or paste a token.");
  }
}

/**
 * Whoever is signed in keeps that: a share link would leave them with less.
 * Everybody else is signed in as the link's holder.
 */
export async function signInWithShare(client: BatonClient, code: string): Promise<SignIn> {
  const remembered = await signInWithKey(client);
  if (remembered.state !== "out") return remembered;
  try {
    return { state: "in", principal: (await client.login({ code })).principal };
  } catch (error) {
    if (!(error instanceof Refused)) return { state: "unreachable", message: messageOf(error) };
    return otherwise(await signInUnasked(client), "This share link has expired or was taken back. Ask for a new one.");
  }
}

/**
 * Without asking anybody: with the remembered key, else by the name that
 * `tailscale serve` says of who opens the page. That it says none is no failure
 * of the person's, so nothing is told of it.
 */
export async function signInUnasked(client: BatonClient): Promise<SignIn> {
  const tried = loginKey.read();
  const remembered = await signInWithKey(client);
  if (remembered.state !== "out") return remembered;
  return aloneAmongTabs(async () => {
    if (loginKey.read() !== tried) {
      const another = await signInWithKey(client);
      if (another.state !== "out") return another;
    }
    try {
      return { state: "in", principal: (await client.login({})).principal };
    } catch (error) {
      if (!(error instanceof Refused)) return { state: "unreachable", message: messageOf(error) };
      return remembered;
    }
  });
}

async function signInWithKey(client: BatonClient): Promise<SignIn> {
  if (!loginKey.read()) return { state: "out", message: null };
  try {
    return { state: "in", principal: await client.me() };
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return { state: "out", message: "You were signed out. Sign in again to go on." };
    return { state: "unreachable", message: messageOf(error) };
  }
}

/** What to say of it when nobody was signed in. */
function otherwise(result: SignIn, message: string): SignIn {
  return result.state === "out" ? { state: "out", message } : result;
}

/**
 * Tabs share the cookie and the key, and two logins at once could leave the
 * cookie of one beside the key of the other. Locks exist in secure contexts
 * only, as a page behind `tailscale serve` is.
 */
async function aloneAmongTabs(run: () => Promise<SignIn>): Promise<SignIn> {
  const locks = (navigator as Partial<Navigator>).locks;
  return locks ? await locks.request("baton.login", run) : run();
}

export async function signInWithToken(client: BatonClient, token: string): Promise<SignIn> {
  try {
    return { state: "in", principal: (await client.login({ token })).principal };
  } catch (error) {
    if (!(error instanceof Refused)) return { state: "unreachable", message: messageOf(error) };
    const wrong = error.status === 401 || error.status === 403;
    return { state: "out", message: wrong ? "That token is not valid here. `baton open` signs you in without one." : error.message };
  }
}
