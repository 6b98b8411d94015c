import { expect, it } from "vitest";
import { retryDelayMs } from "../src/stream/backoff";

it("tries again almost at once, then ever more slowly up to a ceiling", () => {
  const delays = Array.from({ length: 40 }, (_, index) => retryDelayMs(index + 1, 1));
  expect(delays[0]).toBeLessThanOrEqual(200);
  for (let index = 1; index < delays.length; index++) expect(delays[index]).toBeGreaterThanOrEqual(delays[index - 1] ?? 0);
  expect(Math.max(...delays)).toBeLessThanOrEqual(10_000);
});

it("spreads many tabs, and never waits less than half", () => {
  for (const attempt of [1, 4, 30]) {
    expect(retryDelayMs(attempt, 0)).toBe(Math.round(retryDelayMs(attempt, 1) / 2));
    expect(retryDelayMs(attempt, 0.5)).toBeGreaterThan(retryDelayMs(attempt, 0));
  }
});
