// A member: a name and two public keys under an id that stays when the keys change.

import type { Bytes } from "../bytes.ts";
import { takeBytes, takeItems, type Value } from "../cbor.ts";
import { requireKemPublic, requireSigningPublic, type Kem } from "../points.ts";
import { keyId } from "../primitives.ts";
import { takeWords, TRAITS } from "./traits.ts";
import { ID_SIZE, takeKem, takeName, takeWord } from "./wire.ts";

const ROLES = ["admin", "member"] as const;

/** What a member may do to the group. Both open its records. */
export type Role = (typeof ROLES)[number];

/** A member's two public keys with their ids. */
export interface MemberKeysShown {
  readonly kem: Kem;
  readonly kemPublic: Bytes;
  readonly signingPublic: Bytes;
  readonly kemKid: Bytes;
  readonly signingKid: Bytes;
}

/** What a member states about the own ways in, ascending. */
export type Traits = readonly (typeof TRAITS)[number][];

export interface Member extends MemberKeysShown {
  readonly memberId: Bytes;
  readonly name: string;
  readonly traits: Traits;
}

/** A writer of the group: its name and the P-256 point that its content is signed by. */
export interface Writer {
  readonly name: string;
  readonly public: Bytes;
  readonly kid: Bytes;
}

/** Read a member. Throws `format.malformed` or `key.malformed`. */
export async function takeMember(value: Value | undefined): Promise<Member> {
  const [memberId, name, kem, kemPublic, signingPublic, traits] = takeItems(value, 6);
  const taken = { memberId: takeBytes(memberId, ID_SIZE), name: takeName(name) };
  const keys = await takeKeys([kem!, kemPublic!, signingPublic!]);
  return { ...taken, ...keys, traits: takeTraits(traits) };
}

/** Read KEM number, KEM key and signing key. Throws `format.malformed` or `key.malformed`. */
export async function takeKeys(value: readonly Value[]): Promise<MemberKeysShown> {
  const kem = takeKem(value[0]);
  const kemPublic = takeBytes(value[1]);
  const signingPublic = takeBytes(value[2]);
  requireKemPublic(kem, kemPublic);
  requireSigningPublic(signingPublic);
  const [kemKid, signingKid] = await Promise.all([keyId(kemPublic), keyId(signingPublic)]);
  return { kem, kemPublic, signingPublic, kemKid, signingKid };
}

export function memberItems(member: Member): Value[] {
  const { memberId, name, kem, kemPublic, signingPublic, traits } = member;
  return [memberId, name, kem, kemPublic, signingPublic, traits];
}

/** Read what a member states. Throws `format.malformed`. */
export function takeTraits(value: Value | undefined): Traits {
  return takeWords(value, TRAITS);
}

/** Read a writer. Throws `format.malformed` or `key.malformed`. */
export async function takeWriter(value: Value): Promise<Writer> {
  const [name, key] = takeItems(value, 2);
  const writer = { name: takeName(name), public: takeBytes(key) };
  requireSigningPublic(writer.public);
  return { ...writer, kid: await keyId(writer.public) };
}

export function takeRole(value: Value | undefined): Role {
  return takeWord(value, ROLES);
}
