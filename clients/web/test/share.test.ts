import { describe, expect, it } from "vitest";
import { attachCommand, desktopAddress, isLoopback, leftText, pageAddress, portOf } from "../src/share/addresses";

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
