/** The number of a message, without reading all of it. */

const FIRST_FIELD = /^\{"seq":(\d{1,16})[,}]/;

export function seqOf(json: string): number {
  const [, digits] = FIRST_FIELD.exec(json) ?? [];
  if (digits !== undefined) return Number(digits);
  const { seq } = JSON.parse(json) as { seq?: unknown };
  return typeof seq === "number" ? seq : 0;
}
