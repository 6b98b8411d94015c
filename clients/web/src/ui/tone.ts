/** How much a notice matters. */
export type Tone = "info" | "warn" | "error";
