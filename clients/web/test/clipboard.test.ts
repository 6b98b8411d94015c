import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CLIPBOARD_BYTES_MAX, ClipboardOffers, clipboardText, type ClipboardWay } from "../src/clipboard/offers";
import type { ClipboardPolicy } from "../src/settings/settings";
import { targetOf } from "../src/terminal/links";

const said = (text: string): string => `c;${Buffer.from(text).toString("base64")}`;

describe("OSC 52", () => {
  it("carries text, and nothing else is taken from it", () => {
    expect(clipboardText(said("grüße"))).toEqual({ text: "grüße" });
    for (const none of ["c;?", "c;", "", "no semicolon", "c;*not base64*", said(""), "c;/w=="]) expect(clipboardText(none)).toBeNull();
    expect(clipboardText(said("x".repeat(CLIPBOARD_BYTES_MAX)))).not.toBe("too large");
    expect(clipboardText(said("x".repeat(CLIPBOARD_BYTES_MAX + 3)))).toBe("too large");
  });

  const make = (policy: ClipboardPolicy, sessionId: string = crypto.randomUUID()) => {
    const state = { live: true, policy, copied: [] as string[], told: [] as string[] };
    const way: ClipboardWay = {
      sessionId,
      policy: () => state.policy,
      live: () => state.live,
      copy: (text) => {
        state.copied.push(text);
        return Promise.resolve(true);
      },
      notify: (text) => state.told.push(text),
    };
    return { offers: new ClipboardOffers(way), state };
  };

  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const look = (): void => void vi.advanceTimersByTime(500);

  it("cannot be exchanged under the finger", () => {
    const { offers, state } = make("ask");
    offers.said(said("what is read"));
    look();
    offers.said(said("what is copied"));
    offers.answer("once");
    expect([offers.offer.value, offers.seen.value, state.copied]).toEqual(["what is copied", false, []]);
    look();
    offers.answer("once");
    expect(state.copied).toEqual(["what is copied"]);
  });

  it("waits for an answer, and is done as it says", () => {
    const { offers, state } = make("ask");
    offers.said(said("one"));
    expect([offers.offer.value, state.copied]).toEqual(["one", []]);
    offers.answer("deny");
    expect([offers.offer.value, state.copied]).toEqual([null, []]);
    offers.said(said("two"));
    offers.said(said("three"));
    look();
    offers.answer("once");
    expect(state.copied).toEqual(["three"]);
    offers.said(said("four"));
    look();
    offers.answer("always");
    offers.said(said("five"));
    expect(state.copied).toEqual(["three", "four", "five"]);
    // Allowed for one session is allowed for one session.
    const other = make("ask");
    other.offers.said(said("six"));
    expect(other.state.copied).toEqual([]);
  });

  it("of what is not live, or is denied, does nothing", () => {
    const { offers, state } = make("allow");
    state.live = false;
    offers.said(said("replayed"));
    state.live = true;
    state.policy = "deny";
    offers.said(said("denied"));
    expect([offers.offer.value, state.copied]).toEqual([null, []]);
    state.policy = "allow";
    offers.said(said("allowed"));
    expect(state.copied).toEqual(["allowed"]);
    offers.said(said("x".repeat(CLIPBOARD_BYTES_MAX + 3)));
    expect(state.copied).toEqual(["allowed"]);
    expect(state.told.at(-1)).toContain("That is not done");
  });
});

describe("links", () => {
  it("lead to the web only, and are spelled as they are asked for", () => {
    expect(targetOf("https://example.org/a b")).toBe("https://example.org/a%20b");
    // A Cyrillic letter that looks like a Latin one.
    expect(targetOf("https://ex\u0430mple.org/")).toBe("https://xn--exmple-4nf.org/");
    for (const none of ["file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "ssh://host", "nothing", "https://bank.example@evil.example/", `https://x/${"a".repeat(5000)}`]) {
      expect(targetOf(none)).toBeNull();
    }
  });
});
