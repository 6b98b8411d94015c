import { describe, expect, it } from "vitest";
import { inOneLine, linesOf, pasteBytes, questionOf } from "../src/paste/judge";
import { beginningOf } from "../src/paste/paste_dialog";
import { Pasting, type PasteWay } from "../src/paste/pasting";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("a paste", () => {
  it.each([
    ["one line", false, null],
    ["one line\n", false, ["lines"]],
    ["two\nlines", false, ["lines"]],
    ["two\r\nlines", true, null],
    ["tab\tstays", false, null],
    ["x".repeat(5 * 1024), false, null],
    ["x".repeat(5 * 1024 + 1), true, ["large"]],
    ["a\x1b[201~b", true, ["hidden"]],
    ["a\u202eb", true, ["hidden"]],
    ["a\u200bb\n", false, ["lines", "hidden"]],
    ["世界 🙂 é", false, null],
  ])("%j is asked about as it should be (marked: %s)", (pasted, bracketed, reasons) => {
    expect(questionOf(pasted, bracketed)?.reasons ?? null).toEqual(reasons);
  });

  it("counts lines as a reader does", () => {
    expect(["a", "a\n", "a\nb", "a\r\nb\r\n", "a\rb", "\n"].map(linesOf)).toEqual([1, 1, 2, 2, 2, 1]);
  });

  it("cannot end its mark, nor type a control, whatever it holds", () => {
    for (const hostile of ["\x1b[201~", "\x1b\x1b[201~[201~", "\x9b201~", "a\x03b\x04", "\x1b]0;x\x07"]) {
      const bytes = text(pasteBytes(`before${hostile}after\r\n`, true));
      const inner = /^\x1b\[200~([^]*)\x1b\[201~$/.exec(bytes)?.[1];
      expect(inner).toBeDefined();
      expect(inner).not.toMatch(/[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f]/);
      expect(inner).toMatch(/^before.*after\r$/);
    }
    expect(text(pasteBytes("a\nb\r\nc\td", false))).toBe("a\rb\rc\td");
  });

  it("becomes one line without what the break was surrounded by", () => {
    expect(inOneLine("  for x in a; do\n\techo $x  \r\ndone\n")).toBe("for x in a; do echo $x done");
  });

  it("is shown as much of as somebody reads", () => {
    expect(beginningOf("a\nb\n")).toEqual({ shown: "a\nb", more: null });
    expect(beginningOf(Array.from({ length: 201 }, (_, at) => at).join("\n")).more).toBe("… and 1 more line");
    expect(beginningOf("x".repeat(30_000)).more).toMatch(/^… and 9.8 KiB more$/);
  });
});

describe("a large paste", () => {
  const make = () => {
    const typed: number[] = [];
    const state = { mine: true, unsent: 0, bracketed: false, may: true, said: [] as string[], all: "" };
    const way: PasteWay = {
      bracketed: () => state.bracketed,
      guarded: () => false,
      mayType: () => state.may,
      mine: () => state.mine,
      type: (bytes) => {
        typed.push(bytes.length);
        state.unsent += bytes.length;
        state.all += text(bytes);
      },
      unsent: () => state.unsent,
      notify: (said) => state.said.push(said),
    };
    return { pasting: new Pasting(way), state, typed };
  };

  it("goes in pieces that wait for those before them, and arrives whole", () => {
    const { pasting, state, typed } = make();
    const pasted = "0123456789é".repeat(20_000);
    pasting.paste(pasted);
    for (let turn = 0; turn < 1000 && pasting.progress.value; turn++) {
      expect(state.unsent).toBeLessThanOrEqual(48 * 1024 + 4);
      state.unsent = 0;
      pasting.go();
    }
    expect(pasting.progress.value).toBeNull();
    expect(state.all).toBe(pasted);
    expect(typed.length).toBeGreaterThan(10);
  });

  it("ends its mark when it is called off", () => {
    const { pasting, state } = make();
    state.bracketed = true;
    pasting.paste("x".repeat(100_000));
    pasting.cancel();
    expect(state.all.startsWith("\x1b[200~xxx")).toBe(true);
    expect(state.all.endsWith("x\x1b[201~")).toBe(true);
    expect(pasting.progress.value).toBeNull();
  });

  it("types nothing more once control is somebody else's", () => {
    const { pasting, state } = make();
    pasting.paste("x".repeat(100_000));
    state.mine = false;
    const before = state.all.length;
    pasting.lost();
    state.unsent = 0;
    pasting.go();
    expect(state.all.length).toBe(before);
    expect(state.said).toEqual(["The rest of the paste was not typed."]);
  });

  it("waits for the lease that its beginning claims", () => {
    const { pasting, state } = make();
    state.mine = false;
    pasting.paste("x".repeat(100_000));
    expect(state.all.length).toBe(16 * 1024);
    state.mine = true;
    state.unsent = 0;
    pasting.go();
    expect(state.all.length).toBeGreaterThan(16 * 1024);
  });
});
