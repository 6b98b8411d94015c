/** How well what is typed fits a text: letters in order, better at the beginnings of words and side by side. */

const AT_WORD = 8;
const SIDE_BY_SIDE = 5;
const PLAIN = 1;
const WHOLE_WORD = 12;
/** Longer texts are somebody's command lines; what is looked for stands at their beginning. */
const TEXT_CHARS_MAX = 200;

/** Higher is better; null: it does not fit. Every word typed must fit one of the texts; the first texts count most. */
export function score(typed: string, texts: readonly string[]): number | null {
  let sum = 0;
  for (const word of typed.toLowerCase().split(/\s+/)) {
    if (word === "") continue;
    let best: number | null = null;
    texts.forEach((text, index) => {
      const fit = wordScore(word, text.toLowerCase().slice(0, TEXT_CHARS_MAX));
      if (fit !== null) best = Math.max(best ?? -Infinity, fit / (1 + index / 2));
    });
    if (best === null) return null;
    sum += best;
  }
  return sum;
}

function wordScore(word: string, text: string): number | null {
  const at = text.indexOf(word);
  if (at >= 0) return word.length * (PLAIN + SIDE_BY_SIDE) + (isWordStart(text, at) ? WHOLE_WORD : 0) - at / TEXT_CHARS_MAX;
  let points = 0;
  let from = 0;
  let before = -2;
  for (const letter of word) {
    const found = next(text, letter, from, before);
    if (found < 0) return null;
    points += PLAIN + (found === before + 1 ? SIDE_BY_SIDE : 0) + (isWordStart(text, found) ? AT_WORD : 0);
    before = found;
    from = found + 1;
  }
  // Letters strewn over a long text fit nearly anything.
  return points < word.length * 3 ? null : points - (before - text.indexOf(word[0] ?? "")) / 10;
}

/** The letter side by side with the last one, else at the beginning of a word, else the next one. */
function next(text: string, letter: string, from: number, before: number): number {
  if (text[before + 1] === letter && before >= 0) return before + 1;
  for (let at = text.indexOf(letter, from); at >= 0; at = text.indexOf(letter, at + 1)) {
    if (isWordStart(text, at)) return at;
  }
  return text.indexOf(letter, from);
}

function isWordStart(text: string, at: number): boolean {
  return at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1] ?? " ");
}
