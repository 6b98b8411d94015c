import { describe, expect, it } from "vitest";
import { Timeline, type Point } from "../src/history/timeline";

const MINUTE = 60_000;
const night: Point[] = [
  { offset: 0, at: 0 },
  { offset: 1_000, at: 5 * MINUTE },
  // Silence, then one more line, then a flood.
  { offset: 1_100, at: 600 * MINUTE },
  { offset: 901_100, at: 601 * MINUTE },
  { offset: 902_000, at: 620 * MINUTE },
];

describe("the slider", () => {
  it("begins and ends where the output does", () => {
    const timeline = new Timeline(night);
    expect(timeline.at(0)).toEqual(night[0]);
    expect(timeline.at(1)).toEqual(night.at(-1));
    expect([timeline.at(-1).offset, timeline.at(2).offset]).toEqual([0, 902_000]);
  });

  it("goes there and back", () => {
    const timeline = new Timeline(night);
    let last = -1;
    for (let place = 0; place <= 1.0001; place += 0.01) {
      const { offset, at } = timeline.at(place);
      expect(offset).toBeGreaterThanOrEqual(last);
      last = offset;
      expect(timeline.placeOfOffset(offset)).toBeCloseTo(place, 1);
      expect(timeline.placeOfTime(at)).toBeCloseTo(place, 6);
    }
  });

  it("gives neither a silent night nor one flood all of the room", () => {
    const timeline = new Timeline(night);
    const width = (from: number, to: number): number => timeline.placeOfOffset(to) - timeline.placeOfOffset(from);
    expect(width(0, 1_000)).toBeGreaterThan(0.1);
    expect(width(1_000, 1_100)).toBeLessThan(0.4);
    expect(width(1_100, 901_100)).toBeLessThan(0.7);
  });

  it("is whole with one point, equal points, or a clock that was set back", () => {
    expect(new Timeline([{ offset: 7, at: 9 }]).at(0.4)).toEqual({ offset: 7, at: 9 });
    expect(new Timeline([{ offset: 7, at: 9 }, { offset: 7, at: 20 }]).placeOfOffset(7)).toBe(0);
    const back = new Timeline([{ offset: 0, at: 100 }, { offset: 10, at: 50 }, { offset: 20, at: 200 }]);
    expect(back.at(0.5).at).toBeGreaterThanOrEqual(100);
    const bytesOnly = new Timeline([{ offset: 0, at: 5 }, { offset: 10, at: 5 }]);
    expect([bytesOnly.placeOfOffset(5), bytesOnly.at(1).offset]).toEqual([0.5, 10]);
  });
});
