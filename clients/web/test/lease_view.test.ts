import { describe, expect, it } from "vitest";
import { claimableByTyping, FREE, leaseView, type LeaseScene, type LeaseState } from "../src/lease/lease_view";

const ME = "00000000-0000-4000-8000-000000000001";
const ANA: LeaseState = { owner: "00000000-0000-4000-8000-000000000002", owner_name: "ana", owner_kind: "cli", epoch: 5, expired: false };
const AGENT: LeaseState = { owner: "agent:fixer", owner_name: "fixer", owner_kind: "agent", epoch: 5, expired: false };
const here = (lease: LeaseState): LeaseScene["clients"] => [
  { client_id: lease.owner ?? "", client_kind: lease.owner_kind ?? "web", name: lease.owner_name ?? "", viewport: null, attached_at: "2026-01-01T00:00:00.000Z" },
];

function view(lease: LeaseState, scene: Partial<LeaseScene> = {}): ReturnType<typeof leaseView> {
  return leaseView({ lease, me: ME, clients: [], status: "running", live: true, known: true, watchOnly: false, ...scene });
}

describe("the lease bar", () => {
  it("free: claim", () => {
    expect(view(FREE)).toMatchObject({ state: "free", text: "Nobody has control — type to take it", can: { claim: true, release: false, take: false, ask: false } });
  });

  it("mine: release", () => {
    const mine = { ...ANA, owner: ME };
    expect(view(mine)).toMatchObject({ state: "mine", text: "You have control", can: { release: true, take: false } });
    // Expired is claimable, not revoked: it is still ours.
    expect(view({ ...mine, expired: true }).state).toBe("mine");
  });

  it("held: take or ask; a person is warned of, an agent is not", () => {
    expect(view(ANA, { clients: here(ANA) })).toMatchObject({ state: "held", text: "ana · cli has control", can: { take: true, ask: true, claim: false } });
    expect(view(ANA, { clients: here(ANA) }).confirm?.title).toContain("ana · cli");
    // Who just lost the connection has control still, and taking it is force.
    expect(view(ANA)).toMatchObject({ text: "ana · cli has control, and lost the connection", can: { take: true } });
    expect(view(ANA).confirm?.text).toContain("lost the connection");
    expect(view(AGENT).text).toBe("fixer · agent is at work");
    expect(view(AGENT, { clients: here(AGENT) }).confirm).toBeNull();
  });

  it("expired: claim, without force", () => {
    expect(view({ ...ANA, expired: true })).toMatchObject({ state: "held", text: "ana · cli is away — type to take control", can: { claim: true, take: false }, confirm: null });
  });

  it("offers nothing while disconnected, and does not say we have control", () => {
    for (const lease of [FREE, ANA, { ...ANA, owner: ME }]) {
      expect(Object.values(view(lease, { live: false }).can)).not.toContain(true);
    }
    expect(view({ ...ANA, owner: ME }, { live: false }).text).toBe("You had control when the connection dropped");
    expect(view(FREE, { live: false, known: false }).text).toBe("Not known yet who has control");
  });

  it("offers nothing to who may only watch, nor after the end", () => {
    for (const scene of [{ watchOnly: true }, { status: "exited" }] as const) expect(Object.values(view(ANA, scene).can)).not.toContain(true);
  });
});

it("a key claims a free or expired lease only", () => {
  expect([FREE, ANA, { ...ANA, expired: true }, AGENT].map(claimableByTyping)).toEqual([true, false, true, false]);
});
