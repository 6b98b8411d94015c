/**
 * The contract's words, as the rest of the page uses them.
 *
 * Every type comes from the bridge's OpenAPI by way of `api.gen.ts`; nothing is
 * retyped here, only given its short name.
 */

import type { components } from "./api.gen";

type Schemas = components["schemas"];

export type Session = Schemas["Session"];
export type SessionDetail = Schemas["SessionDetail"];
export type SessionPage = Schemas["Page_Session"];
export type SessionStatus = Schemas["SessionStatus"];
export type Principal = Schemas["Principal"];
export type ErrorCode = Schemas["ErrorCode"];
export type Lease = Schemas["Lease"];
export type ClientInfo = Schemas["Client"];
export type TermFacts = Schemas["TermFacts"];
export type ClientKind = Schemas["ClientKind"];
export type Exit = Schemas["Exit"];
export type Layer = Schemas["Layer"];
export type LoginRequest = Schemas["LoginRequest"];
export type LoginAnswer = Schemas["LoginAnswer"];
export type CreateTerminal = Schemas["CreateTerminal"];
export type Created = Schemas["Created"];
export type LeaseAnswer = Schemas["LeaseAnswer"];
export type Problem = Schemas["Problem"];
export type SessionEvent = Schemas["Event"];
export type BatonSettings = Schemas["Settings"];
export type AgentProgram = Schemas["AgentProgram"];
export type DefaultsPatch = Schemas["DefaultsPatch"];

/** A line in which something was found; `matches` are bytes of its UTF-8. */
/** The description has no pairs, only lists: each of `matches` is a start and an end. */
export type SearchHit = Omit<Schemas["SearchHit"], "matches"> & { matches: [number, number][] };
export type SearchAnswer = Omit<Schemas["SearchAnswer"], "items"> & { items: SearchHit[] };
/** `data` of an event of type `mark`. */
export interface Mark {
  kind: string;
  cursor: string;
  text?: string | null;
  exit_code?: number | null;
  duration_ms?: number | null;
}
export type EventPage = Schemas["Page_Event"];
export type AuditRow = Schemas["AuditRow"];
export type AuditPage = Schemas["Page_AuditRow"];
export type AuditVerification = Schemas["AuditVerification"];

export type ClientFrame = Schemas["ClientFrame"];
export type ServerFrame = Schemas["ServerFrame"];
/** One server frame by its `type`. */
export type ServerFrameOf<T extends ServerFrame["type"]> = Extract<ServerFrame, { type: T }>;

/** A terminal's size in character cells. */
export interface Cells {
  cols: number;
  rows: number;
}

/** The subprotocol that carries bytes as binary messages. */
export const BINARY_SUBPROTOCOL = "baton.v1.binary";

/** Why the bridge closed a WebSocket, when it says so. */
export const CLOSE = {
  protocol: 4000,
  auth: 4001,
  forbidden: 4003,
  notFound: 4004,
  replaced: 4009,
} as const;
