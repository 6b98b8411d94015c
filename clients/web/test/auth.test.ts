import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { signInUnasked, signInWithCode, signInWithShare } from "../src/access/auth";
import type { BatonClient } from "../src/api/client";
import { Refused, Unreachable } from "../src/api/requests";
import { isForgotten } from "../src/api/feed";
import { loginKey } from "../src/access/identity";
import type { LoginRequest, Principal } from "../src/api/protocol";

const ADA: Principal = { id: "tailscale:ada@example.com", name: "ada@example.com", role: "owner" };
const GUEST: Principal = { id: "lnk_1", name: "share link", role: "viewer" };

beforeEach(() => {
  vi.stubGlobal("navigator", {});
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  });
});
afterEach(() => void vi.unstubAllGlobals());

/** A bridge that knows these keys and codes, and a proxy that may name somebody. */
function bridge(options: { keys?: string[]; codes?: string[]; named?: boolean; down?: boolean }) {
  const asked: string[] = [];
  const keys = new Set(options.keys);
  const answer = <T>(what: string, value: T | null, status: number): Promise<T> => {
    asked.push(what);
    if (options.down) return Promise.reject(new Unreachable("The bridge does not answer."));
    return value === null ? Promise.reject(new Refused(status, "refused", "no")) : Promise.resolve(value);
  };
  const client = {
    me: () => answer("me", keys.has(loginKey.read() ?? "") ? ADA : null, 401),
    login: async ({ code }: LoginRequest) => {
      const principal = code ? (options.codes?.includes(code) ? GUEST : null) : options.named ? ADA : null;
      const made = await answer(code ? "code" : "name", principal && { key: `of ${principal.name}`, principal }, code ? 401 : 400);
      keys.add(made.key);
      loginKey.write(made.key);
      return made;
    },
  };
  return { client: client as unknown as BatonClient, asked };
}

describe("signing in without being asked", () => {
  it("goes by the remembered key alone where that is good", async () => {
    loginKey.write("good");
    const { client, asked } = bridge({ keys: ["good"], named: true });
    expect(await signInUnasked(client)).toEqual({ state: "in", principal: ADA });
    expect(asked).toEqual(["me"]);
  });

  it("goes by the name that the proxy says where there is no key, or none that is good", async () => {
    for (const [key, expected] of [[null, ["name"]], ["old", ["me", "name"]]] as const) {
      loginKey.clear();
      if (key) loginKey.write(key);
      const { client, asked } = bridge({ named: true });
      expect(await signInUnasked(client)).toEqual({ state: "in", principal: ADA });
      expect(asked).toEqual(expected);
    }
  });

  it("asks once and says nothing of it where the proxy names nobody", async () => {
    const { client, asked } = bridge({});
    expect(await signInUnasked(client)).toEqual({ state: "out", message: null });
    expect(asked).toEqual(["name"]);
    loginKey.write("old");
    expect(await signInUnasked(client)).toEqual({ state: "out", message: "You were signed out. Sign in again to go on." });
    expect(asked).toEqual(["name", "me", "name"]);
  });

  it("waits for a bridge that does not answer", async () => {
    expect((await signInUnasked(bridge({ down: true }).client)).state).toBe("unreachable");
  });

  it("makes one login of several tabs", async () => {
    const { client, asked } = bridge({ named: true });
    let last: Promise<unknown> = Promise.resolve();
    const request = (_name: string, run: () => Promise<unknown>): Promise<unknown> => (last = last.then(run));
    vi.stubGlobal("navigator", { locks: { request } });
    const states = await Promise.all([signInUnasked(client), signInUnasked(client), signInUnasked(client)]);
    expect(states.map(({ state }) => state)).toEqual(["in", "in", "in"]);
    expect(asked).toEqual(["name", "me", "me"]);
  });
});

describe("signing in by a link", () => {
  it("is tried before the name, and the name before the form", async () => {
    const good = bridge({ codes: ["c"], named: true });
    expect(await signInWithShare(good.client, "c")).toEqual({ state: "in", principal: GUEST });
    expect(good.asked).toEqual(["code"]);
    for (const signIn of [signInWithShare, signInWithCode]) {
      loginKey.clear();
      expect(await signIn(bridge({ named: true }).client, "old")).toEqual({ state: "in", principal: ADA });
      loginKey.clear();
      const out = await signIn(bridge({}).client, "old");
      expect(out.state === "out" && out.message).toMatch(/^This (share|sign-in) link/);
    }
  });
});

describe("events", () => {
  it("tell a session that is gone from one that changed", () => {
    expect(isForgotten({ type: "status", data: { status: "forgotten" } })).toBe(true);
    expect(isForgotten({ type: "status", data: { status: "exited" } })).toBe(false);
    expect(isForgotten({ type: "status", data: { changed: true, title: "forgotten" } })).toBe(false);
    expect(isForgotten({ type: "exit", data: null })).toBe(false);
  });
});
