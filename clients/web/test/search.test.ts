import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SearchQuery } from "../src/api/client";
import { Refused } from "../src/api/requests";
import { fileNameOf } from "../src/ui/download";
import type { SearchAnswer, SearchHit } from "../src/api/protocol";
import { foundIn, partsOf, Search } from "../src/history/search";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const hit = (line: string): SearchHit => ({ cursor: `i:${line.length}`, at: "2026-01-10T12:00:00Z", line, matches: [[0, 1]], before: [], after: [] });

function make(answer: (query: SearchQuery) => SearchAnswer): { search: Search; asked: SearchQuery[] } {
  const asked: SearchQuery[] = [];
  const search = new Search({
    search: async (_id, query, signal) => {
      asked.push(query);
      await new Promise((resume) => setTimeout(resume, 20));
      if (signal.aborted) throw new DOMException("ended", "AbortError");
      return answer(query);
    },
  }, "s");
  return { search, asked };
}

describe("searching", () => {
  it("waits for a pause in typing, and only the newest wish counts", async () => {
    const { search, asked } = make(({ text }) => ({ items: [hit(text)], next_cursor: null }));
    for (const text of ["e", "er", "err", "erro", "error"]) {
      search.type(text);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(search.searching.value).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked.map(({ text }) => text)).toEqual(["error"]);
    expect(search.hits.value?.map(({ line }) => line)).toEqual(["error"]);
    search.type("");
    expect([search.hits.value, search.searching.value]).toEqual([null, false]);
  });

  it("goes on from where it stopped", async () => {
    const { search, asked } = make(({ cursor }) => ({ items: [hit(cursor ?? "first")], next_cursor: cursor ? null : "i:500" }));
    search.type("x");
    search.run(true);
    await vi.advanceTimersByTimeAsync(100);
    search.more();
    await vi.advanceTimersByTimeAsync(100);
    expect(asked.map(({ cursor }) => cursor)).toEqual([null, "i:500"]);
    expect(search.hits.value?.map(({ line }) => line)).toEqual(["first", "i:500"]);
    search.more();
    expect(asked.length).toBe(2);
  });

  it("says plainly what is wrong with an expression, and recovers", async () => {
    const { search } = make(({ text, regex }) => {
      if (regex && text === "(") throw new Refused(400, "invalid", "unclosed group at 1");
      return { items: [hit(text)], next_cursor: null };
    });
    search.type("(");
    search.useRegex(true);
    await vi.advanceTimersByTimeAsync(100);
    expect([search.error.value, search.hits.value]).toEqual(["unclosed group at 1", null]);
    search.useRegex(false);
    await vi.advanceTimersByTimeAsync(100);
    expect([search.error.value, search.hits.value?.length]).toEqual([null, 1]);
  });
});

describe("what was found", () => {
  it("is cut by bytes of UTF-8, whatever the characters", () => {
    expect(partsOf("añ日🙂z", [[1, 3], [6, 10]])).toEqual([
      { text: "a", hit: false }, { text: "ñ", hit: true }, { text: "日", hit: false }, { text: "🙂", hit: true }, { text: "z", hit: false },
    ]);
    expect(partsOf("abc", [])).toEqual([{ text: "abc", hit: false }]);
    expect(partsOf("abc", [[0, 99]])).toEqual([{ text: "abc", hit: true }]);
    expect(foundIn({ ...hit("x: error"), matches: [[3, 8]] })).toBe("error");
  });
});

it("a file's name is one that every file system takes", () => {
  expect(["build", "my build/2", "../../etc", "日本 🙂", "...", ""].map(fileNameOf)).toEqual(["build", "my-build-2", "etc", "日本", "session", "session"]);
});
