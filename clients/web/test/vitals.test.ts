import { describe, expect, it } from "vitest";
import { creditText, KeyLatency, roundTripText } from "../src/stream/vitals";

describe("a key's latency", () => {
  it("is from the frame to its acknowledgement", () => {
    const latency = new KeyLatency();
    expect(latency.at(0)).toBeNull();
    latency.sent(1, 100);
    latency.acknowledged(1, 112);
    expect(latency.at(500)).toEqual({ ms: 12, of: "key", waiting: false });
  });

  it("is measured of one frame at a time, and by any acknowledgement that covers it", () => {
    const latency = new KeyLatency();
    latency.sent(4, 100);
    latency.sent(5, 109);
    latency.acknowledged(3, 105);
    expect(latency.at(106)).toEqual({ ms: 6, of: "key", waiting: true });
    latency.acknowledged(5, 110);
    expect(latency.at(111)?.ms).toBe(10);
    latency.acknowledged(6, 200);
    expect(latency.at(201)?.ms).toBe(10);
  });

  it("shows a wait that is longer than the last one took", () => {
    const latency = new KeyLatency();
    latency.sent(1, 0);
    latency.acknowledged(1, 10);
    latency.sent(2, 100);
    expect(latency.at(105)).toEqual({ ms: 10, of: "key", waiting: false });
    expect(latency.at(3100)).toEqual({ ms: 3000, of: "key", waiting: true });
    latency.abandon();
    expect(latency.at(3200)?.ms).toBe(10);
  });
});

describe("the overlay's words", () => {
  it("name what is left of the credit", () => {
    expect(creditText(0)).toBe("512 KiB (0 bytes unacked)");
    expect(creditText(2048)).toBe("510 KiB (2.0 KiB unacked)");
    expect(creditText(1024 * 1024)).toBe("0 bytes (1.0 MiB unacked)");
  });

  it("say what a round trip is of", () => {
    expect(roundTripText(null)).toBe("–");
    expect(roundTripText({ ms: 1.234, of: "key", waiting: false })).toBe("1.2 ms (key)");
    expect(roundTripText({ ms: 42.4, of: "heartbeat", waiting: false })).toBe("42 ms (heartbeat)");
    expect(roundTripText({ ms: 3000, of: "key", waiting: true })).toBe("> 3000 ms (key)");
  });
});
