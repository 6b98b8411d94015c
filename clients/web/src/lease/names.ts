/** Names that others chose for themselves, made fit to decide by. */

import type { ClientInfo, ClientKind } from "../api/protocol";
import { plainLine } from "../ui/plain_text";

const NAME_CHARS = 60;

/** A name in one short line. */
export function plainName(name: string): string {
  return plainLine(name, NAME_CHARS);
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
