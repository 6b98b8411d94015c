/**
 * The part of the address after `#`: a login code or a share link's, a session to open, or both.
 *
 * Codes travel only here, because a fragment never reaches a server or its log.
 */

export interface Fragment {
  code: string | null;
  /** The code of a share link: it shows the session to who is not signed in. */
  share: string | null;
  session: string | null;
}

export function parseFragment(hash: string): Fragment {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const code = params.get("code")?.trim();
  const share = params.get("share")?.trim();
  const session = params.get("session")?.trim();
  return { code: code || null, share: share || null, session: session || null };
}

/** The address to keep once a code was read: never the code. */
export function fragmentFor(session: string | null): string {
  return session ? `#session=${encodeURIComponent(session)}` : "";
}
