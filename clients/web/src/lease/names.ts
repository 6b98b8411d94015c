/**
 * Names that others chose for themselves, made fit to decide by: what is not
 * seen or turns the text around is written out, and the length is bounded.
 */

import type { ClientInfo, ClientKind } from "../api/protocol";

const NAME_MAX = 60;
/** Controls, and whatever is drawn as nothing or changes the direction. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu;

/** `text` with each unseen character as its code point, so that nothing hides. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (char) => `⟨U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** A name in one short line. */
export function plainName(name: string): string {
  const seen = visible(name.trim());
  const chars = [...seen];
  return chars.length > NAME_MAX ? `${chars.slice(0, NAME_MAX).join("")}…` : seen;
}

/** "ana · cli", or just the kind when the name is not known. */
export function ownerLabel(owner: { owner_name: string | null; owner_kind: ClientKind | null }): string {
  const kind = owner.owner_kind;
  const name = plainName(owner.owner_name ?? "");
  if (!name) return kind ? `A ${kind} client` : "Somebody else";
  return kind ? `${name} · ${kind}` : name;
}

/** The same for somebody who is attached. */
export function clientLabel({ name, client_kind }: Pick<ClientInfo, "name" | "client_kind">): string {
  return ownerLabel({ owner_name: name, owner_kind: client_kind });
}

/** Programs act for themselves; nobody sits in front of them. */
export function isAgent(kind: ClientKind | null): boolean {
  return kind === "agent" || kind === "mcp";
}
