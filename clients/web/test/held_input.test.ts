import { describe, expect, it } from "vitest";
import type { Approval } from "../src/api/handoff";
import { HeldInput, PREVIEW_MAX, previewOf } from "../src/lease/held_input";

const approval = (id: string, payload: unknown, action = "terminal.input"): Approval => ({ id, action, payload, context_hash: `hash of ${id}` }) as Approval;
const typed = (text: string): unknown => ({ data_b64: Buffer.from(text).toString("base64") });

describe("what an agent wants to type", () => {
  it("is shown with each key that has no letter", () => {
    expect(previewOf(approval("a", typed("ls\r\x03\x1b[A\t\x7f")))).toEqual({ text: "ls⟨⏎⟩⟨Ctrl+C⟩⟨Esc⟩[A⟨⇥⟩⟨⌫⟩", whole: true });
    expect(previewOf(approval("a", typed("a\u202eb"))).text).toBe("a\\u{202e}b");
    expect(previewOf(approval("a", { command: "rm\u200b -rf x" }, "terminal.exec")).text).toBe("rm\\u{200b} -rf x");
  });

  it("is not whole when it is too long, or not there", () => {
    expect(previewOf(approval("a", typed("x".repeat(PREVIEW_MAX + 1)))).whole).toBe(false);
    expect(previewOf(approval("a", { secret: "digest" })).whole).toBe(false);
    expect(previewOf(approval("a", null)).whole).toBe(false);
  });
});

describe("what waits", () => {
  it("is of the session that is watched, however late another's answer comes", async () => {
    const answers = new Map<string, (waiting: Approval[]) => void>();
    const held = new HeldInput({ waitingInput: (session) => new Promise((resolve) => answers.set(session, resolve)), decide: () => Promise.resolve() });
    held.watch("one");
    held.watch("two");
    answers.get("one")?.([approval("of one", null)]);
    await Promise.resolve();
    await Promise.resolve();
    expect(held.waiting.value).toEqual([]);
    await new Promise((resume) => setTimeout(resume));
    answers.get("two")?.([approval("of two", null)]);
    await new Promise((resume) => setTimeout(resume));
    expect(held.waiting.value.map(({ id }) => id)).toEqual(["of two"]);
    held.watch(null);
    expect(held.waiting.value).toEqual([]);
  });

  it("is decided once, about what was shown", async () => {
    const decided: string[] = [];
    let finish = (): void => undefined;
    const held = new HeldInput({
      waitingInput: () => Promise.resolve([]),
      decide: ({ id, context_hash }, decision) => {
        decided.push(`${decision} ${id}, ${context_hash}`);
        return new Promise((resolve) => (finish = resolve));
      },
    });
    const first = held.decide(approval("a", null), "approve");
    await held.decide(approval("a", null), "approve");
    await held.decide(approval("b", null), "deny");
    finish();
    await first;
    expect(decided).toEqual(["approve a, hash of a"]);
    expect(held.deciding.value).toBeNull();
  });
});
