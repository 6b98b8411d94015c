import { describe, expect, it } from "vitest";
import { InputQueue } from "../src/stream/input";

function bytes(length: number): Uint8Array {
  return new Uint8Array(length);
}

function queueOf(...parts: number[]): InputQueue {
  const queue = new InputQueue();
  for (const length of parts) queue.push(bytes(length), 4);
  return queue;
}

describe("input in flight", () => {
  it("is numbered from 1 and sent once", () => {
    const queue = queueOf(1, 1);
    expect(queue.takeSendable().map(({ seq, epoch }) => [seq, epoch])).toEqual([[1, 4], [2, 4]]);
    expect(queue.takeSendable()).toEqual([]);
  });

  it("is sent again under the same number after a reconnect, unless it was applied", () => {
    const queue = queueOf(1, 1, 1);
    queue.takeSendable();
    queue.resume(1);
    expect(queue.takeSendable().map(({ seq }) => seq)).toEqual([2, 3]);
  });

  it("of a long paste is cut and bounded, and goes on with the acknowledgements", () => {
    const queue = queueOf(100_000);
    const sent = queue.takeSendable();
    expect(Math.max(...sent.map((frame) => frame.bytes.length))).toBeLessThanOrEqual(4096);
    const inFlight = sent.reduce((sum, frame) => sum + frame.bytes.length, 0);
    expect(inFlight).toBeLessThanOrEqual(32 * 1024);
    queue.acknowledged(sent.length);
    expect(queue.takeSendable()[0]?.seq).toBe(sent.length + 1);
    expect(queue.pendingBytes).toBe(100_000 - inFlight);
  });

  it("that is refused takes the rest with it and counts what was not typed", () => {
    const queue = queueOf(10, 20, 30);
    queue.takeSendable();
    expect(queue.refuse(1)).toBe(50);
    expect(queue.pendingBytes).toBe(10);
    // The frames after it are refused one by one; the loss is told once.
    expect(queue.refuse(1)).toBe(0);
    queue.push(bytes(5), 6);
    expect(queue.takeSendable()).toMatchObject([{ seq: 4, epoch: 6 }]);
  });

  it("of which nobody knows whether it was typed is news once", () => {
    const queue = queueOf(10, 20, 30);
    queue.takeSendable();
    expect(queue.uncertain(1)).toBe(true);
    expect(queue.pendingBytes).toBe(0);
    queue.push(bytes(5), 6);
    // Told again at the next attach: what was typed since is no part of it.
    expect(queue.uncertain(1)).toBe(false);
    expect(queue.pendingBytes).toBe(5);
    queue.refuse(3, 4);
    expect(queue.uncertain(4)).toBe(false);
  });

  it("is never typed into another instance, where numbers start anew", () => {
    const queue = queueOf(3, 4);
    expect(queue.restart()).toBe(7);
    queue.push(bytes(1), 1);
    expect(queue.takeSendable()).toMatchObject([{ seq: 1 }]);
  });
});
