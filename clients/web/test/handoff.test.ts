import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NO_WISH, toldOf } from "../src/lease/change";
import { Handoff } from "../src/lease/handoff";
import { FREE, type LeaseState } from "../src/lease/lease_view";

const ME = "00000000-0000-4000-8000-000000000001";
const MINE: LeaseState = { owner: ME, owner_name: "me", owner_kind: "web", epoch: 4, expired: false };
const ANA: LeaseState = { owner: "00000000-0000-4000-8000-000000000002", owner_name: "ana", owner_kind: "cli", epoch: 5, expired: false };

describe("what a change of the lease means here", () => {
  const told = (before: LeaseState, after: LeaseState, wish = {}, met = false): ReturnType<typeof toldOf> =>
    toldOf(before, after, ME, { ...NO_WISH, ...wish }, met);

  it("taken: unless it was given, or released to who had asked", () => {
    expect(told(MINE, ANA)).toEqual({ kind: "taken", by: "ana · cli", how: "here" });
    expect(told({ ...MINE, expired: true }, ANA)).toEqual({ kind: "taken", by: "ana · cli", how: "away" });
    expect(told(MINE, ANA, {}, true)).toEqual({ kind: "taken", by: "ana · cli", how: "disconnected" });
    expect(told(MINE, ANA, { gaveTo: ANA.owner })).toEqual({ kind: "notice", text: "You gave control to ana · cli." });
    expect(told(MINE, ANA, { released: true })?.kind).toBe("notice");
    // Given to one, and taken by another first.
    expect(told(MINE, ANA, { gaveTo: "somebody else" })?.kind).toBe("taken");
    expect(told(MINE, FREE, { released: true })).toBeNull();
    expect(told(MINE, FREE)?.kind).toBe("notice");
  });

  it("given to us: by whom, and whether we had asked", () => {
    expect(told(ANA, MINE)).toEqual({ kind: "notice", text: "ana · cli gave you control." });
    expect(told(ANA, MINE, { asked: true })).toEqual({ kind: "notice", text: "ana · cli gave you control, as you asked." });
    expect(told({ ...ANA, expired: true }, MINE, { asked: true })).toEqual({ kind: "notice", text: "ana · cli is away: you have control, as you asked." });
    expect(told(FREE, MINE, { asked: true })?.kind).toBe("notice");
  });

  it("what we did ourselves, and what a new connection finds, is no news", () => {
    expect(told(ANA, MINE, { claimed: true })).toBeNull();
    expect(told(FREE, MINE, { claimed: true })).toBeNull();
    expect(told(ANA, MINE, {}, true)).toBeNull();
    expect(told(MINE, { ...MINE, expired: true })).toBeNull();
    expect(told(ANA, FREE)).toBeNull();
  });
});

describe("what a take-over cost", () => {
  const notices: string[] = [];
  const handoff = (): Handoff => {
    const made = new Handoff(ME, (text) => notices.push(text));
    made.changed(FREE, MINE, { claimed: true, asked: false }, false);
    return made;
  };
  const NO = { claimed: false, asked: false };
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    notices.length = 0;
  });

  it("counts what was refused before and after the lease moved, and what is typed on", () => {
    const told = handoff();
    expect(told.dropped(3)).toBe(true);
    told.changed(MINE, ANA, NO, false);
    expect(told.dropped(4)).toBe(true);
    expect(told.typedInVain(5)).toBe(true);
    expect(told.taken.value).toMatchObject({ by: "ana · cli", dropped: 12 });
    vi.runAllTimers();
    expect(notices).toEqual([]);
  });

  it("stays until it is dismissed or control is back", () => {
    const told = handoff();
    told.changed(MINE, ANA, NO, false);
    told.changed(ANA, { ...ANA, owner: "another", epoch: 6 }, NO, false);
    expect(told.taken.value?.by).toBe("ana · cli");
    told.changed(ANA, MINE, NO, false);
    expect(told.taken.value).toBeNull();
    told.changed(MINE, ANA, NO, false);
    told.dismiss();
    expect([told.taken.value, told.typedInVain(1)]).toEqual([null, false]);
  });

  it("a refusal that nothing explains is told by itself", () => {
    const told = handoff();
    expect(told.dropped(3)).toBe(true);
    vi.runAllTimers();
    expect(notices).toEqual(["3 bytes were not typed: control had moved meanwhile."]);
    expect(told.taken.value).toBeNull();
  });

  it("what was wished once explains one change only", () => {
    const told = handoff();
    told.gives(ANA.owner ?? "");
    told.changed(MINE, ANA, NO, false);
    expect(told.taken.value).toBeNull();
    told.changed(ANA, MINE, NO, false);
    told.changed(MINE, ANA, NO, false);
    expect(told.taken.value).not.toBeNull();
  });
});
