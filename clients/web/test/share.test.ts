import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { attachCommand, desktopAddress, isLoopback, leftText, pageAddress, portOf } from "../src/share/addresses";
import { MadeLinks, type MadeLink } from "../src/share/made_links";

describe("where a session can be opened", () => {
  it("knows the addresses that no phone reaches", () => {
    for (const host of ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1", "localhost."]) expect(isLoopback(host), host).toBe(true);
    for (const host of ["128.0.0.1", "box.example.ts.net", "127.0.0.1.example.org", "192.168.0.7", "[fd00::1]"]) expect(isLoopback(host), host).toBe(false);
  });

  it("gives a shell nothing but a name or an id", () => {
    expect(attachCommand({ id: "ses_1", title: "work" })).toBe("baton attach work");
    expect(attachCommand({ id: "ses_1", title: "my work" })).toBe("baton attach 'my work'");
    for (const title of ["", "-r", "a'b", "a; rm -rf ~", "$(id)", "`id`", "a\nb", "a\u202eb", "a\tb", " a"]) {
      expect(attachCommand({ id: "ses_1", title }), JSON.stringify(title)).toBe("baton attach ses_1");
    }
  });

  it("spells addresses", () => {
    expect(pageAddress("http://127.0.0.1:7420", "ses_1")).toBe("http://127.0.0.1:7420/#session=ses_1");
    expect(desktopAddress("ses_1")).toBe("baton://session/ses_1");
    expect([portOf("http://127.0.0.1:7420/"), portOf("https://box.example.org/")]).toEqual(["7420", "443"]);
    expect([leftText(86_400 * 2), leftText(3_700), leftText(61), leftText(59), leftText(-3)]).toEqual(["2 d", "1 h", "1 min", "59 s", "0 s"]);
  });
});

describe("links that were made here", () => {
  const kept = new Map<string, string>();
  beforeEach(() => {
    kept.clear();
    vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) });
  });
  afterEach(() => void vi.unstubAllGlobals());
  const NOW = Date.parse("2026-01-01T00:00:00Z");
  const link = (id: string, expires_at = "2026-01-02T00:00:00Z"): MadeLink => ({ id, session: "ses_1", from: "here", expires_at });

  it("outlive a reload, without their codes, until they expire or are taken back", () => {
    const links = new MadeLinks(NOW);
    links.add(link("a"), NOW);
    links.add(link("b", "2026-01-01T00:10:00Z"), NOW);
    links.add({ ...link("c"), session: "ses_2" }, NOW);
    expect(new MadeLinks(NOW).of("ses_1", NOW).map(({ id }) => id)).toEqual(["b", "a"]);
    expect(links.of("ses_1", NOW + 3_600_000).map(({ id }) => id)).toEqual(["a"]);
    links.remove("a");
    expect(new MadeLinks(NOW + 3_600_000).all.value.map(({ id }) => id)).toEqual(["c"]);
    expect([...kept.values()].join()).not.toContain("#share");
  });

  it("are bounded, and what else stands there is no link", () => {
    const links = new MadeLinks(NOW);
    for (let count = 0; count < 80; count++) links.add(link(`l${count}`), NOW);
    expect(links.all.value).toHaveLength(50);
    expect(links.all.value[0]?.id).toBe("l79");
    for (const text of ["{", "{}", "[1, null, {}]", '[{"id":1,"session":"s","from":"here","expires_at":"2026-01-02"}]']) {
      kept.set("baton.links", text);
      expect(new MadeLinks(NOW).all.value).toEqual([]);
    }
  });
});
