// The operations of the membership log: all that an entry can say, by its name on the wire.
// Whether an operation is allowed is not decided here (authority.ts, effects.ts).

import type { Bytes } from "../bytes.ts";
import { takeBytes, takeItems, takeList, takeNumber, type Value } from "../cbor.ts";
import { malformed } from "../errors.ts";
import { requireKemPublic, type Kem } from "../points.ts";
import {
  takeKeys,
  takeMember,
  takeRole,
  takeTraits,
  takeWriter,
  type Member,
  type MemberKeysShown,
  type Role,
  type Traits,
  type Writer,
} from "./member.ts";
import { takePolicy, type Policy } from "./policy.ts";
import { unknownOp } from "./refused.ts";
import { HASH_SIZE, ID_SIZE, isBefore, MAX_ADMINS, takeKem, takeName } from "./wire.ts";

const MAX_FOUNDERS = 256;
const MAX_WRITERS = 4096;
const MAX_EPOCH = 2 ** 32 - 1;

/** The group's public key of one epoch; epochs are numbered from 1. */
export interface EpochKey {
  readonly number: number;
  readonly kem: Kem;
  readonly public: Bytes;
}

export interface MemberInRole {
  readonly member: Member;
  readonly role: Role;
}

/** Whether legacy values of a column may be read: 1, or 2 once it was cut over. */
export type ColumnState = 1 | 2;

export interface Column {
  readonly table: string;
  readonly column: string;
  readonly state: ColumnState;
}

export interface Found {
  readonly name: "found";
  readonly groupName: string;
  readonly policy: Policy;
  readonly epochKey: EpochKey;
  readonly members: readonly MemberInRole[];
  readonly adminK: number;
  readonly identity: Bytes;
  readonly recovery: Bytes | null;
}

export type MemberRekey = { readonly name: "member-rekey"; readonly epochKey: EpochKey } & {
  readonly keys: MemberKeysShown & { readonly traits: Traits };
};

/** A recovery that members shall know of; it changes nothing (R-LOG-42). */
export type Notice =
  | { readonly name: "recovery-begin"; readonly memberId: Bytes; readonly digest: Bytes }
  | { readonly name: "recovery-cancel"; readonly digest: Bytes };

export type Op =
  | Found
  | ({ readonly name: "add" } & MemberInRole)
  | { readonly name: "remove"; readonly memberId: Bytes; readonly epochKey: EpochKey }
  | { readonly name: "leave"; readonly epochKey: EpochKey }
  | { readonly name: "new-epoch"; readonly epochKey: EpochKey }
  | MemberRekey
  | { readonly name: "restate"; readonly traits: Traits }
  | Notice
  | { readonly name: "set-admins"; readonly admins: readonly Bytes[]; readonly adminK: number }
  | { readonly name: "set-writers"; readonly writers: readonly Writer[] }
  | { readonly name: "set-identity"; readonly fingerprint: Bytes }
  | { readonly name: "set-policy"; readonly policy: Policy }
  | ({ readonly name: "set-column" } & Column);

/** Read an operation. Throws `log.unknown-op`, `format.malformed` or `key.malformed` (R-LOG-2). */
export async function takeOp(name: string, body: Value | undefined): Promise<Op> {
  switch (name) {
    case "found":
      return takeFound(body);
    case "add":
      return { name, ...(await takeMemberInRole(body)) };
    case "remove": {
      const [memberId, ...key] = takeItems(body, 4);
      return { name, memberId: takeBytes(memberId, ID_SIZE), epochKey: takeEpochKey(key) };
    }
    case "leave":
    case "new-epoch":
      return { name, epochKey: takeEpochKey(body) };
    case "member-rekey": {
      const items = takeItems(body, 7);
      const keys = { ...(await takeKeys(items.slice(0, 3))), traits: takeTraits(items[3]) };
      return { name, keys, epochKey: takeEpochKey(items.slice(4)) };
    }
    default:
      return takeOwnWord(name, body) ?? takeSetting(name, body);
  }
}

/** What a member says alone and that brings no key. */
function takeOwnWord(name: string, body: Value | undefined): Op | undefined {
  switch (name) {
    case "restate":
      return { name, traits: takeTraits(takeItems(body, 1)[0]) };
    case "recovery-begin": {
      const [memberId, digest] = takeItems(body, 2);
      return { name, memberId: takeBytes(memberId, ID_SIZE), digest: takeBytes(digest, HASH_SIZE) };
    }
    case "recovery-cancel":
      return { name, digest: takeBytes(takeItems(body, 1)[0], HASH_SIZE) };
    default:
      return undefined;
  }
}

async function takeSetting(name: string, body: Value | undefined): Promise<Op> {
  switch (name) {
    case "set-admins":
      return takeSetAdmins(body);
    case "set-writers":
      return { name, writers: await takeWriters(takeItems(body, 1)[0]) };
    case "set-identity":
      return { name, fingerprint: takeBytes(takeItems(body, 1)[0], HASH_SIZE) };
    case "set-policy":
      return { name, policy: takePolicy(takeItems(body, 1)[0]) };
    case "set-column":
      return { name, ...takeColumn(body) };
    default:
      throw unknownOp(name);
  }
}

async function takeFound(body: Value | undefined): Promise<Found> {
  const [nonce, groupName, policy, kem, key, members, adminK, identity, recovery] = takeItems(
    body,
    9,
  );
  takeBytes(nonce, ID_SIZE);
  return {
    name: "found",
    groupName: takeName(groupName),
    policy: takePolicy(policy),
    epochKey: takeEpochKey([1, kem!, key!]),
    members: await Promise.all(takeList(members, 1, MAX_FOUNDERS).map(takeMemberInRole)),
    adminK: takeAdminK(adminK),
    identity: takeBytes(identity, HASH_SIZE),
    recovery: recovery === null ? null : takeBytes(recovery, HASH_SIZE),
  };
}

async function takeMemberInRole(value: Value | undefined): Promise<MemberInRole> {
  const [member, role] = takeItems(value, 2);
  return { member: await takeMember(member), role: takeRole(role) };
}

/** Read three items as an epoch's key. Throws `format.malformed` or `key.malformed`. */
export function takeEpochKey(value: Value | undefined): EpochKey {
  const [number, kem, key] = takeItems(value, 3);
  const epochKey = { number: takeNumber(number, MAX_EPOCH), kem: takeKem(kem), public: takeBytes(key) };
  if (epochKey.number < 1) throw malformed("an epoch is numbered from 1");
  requireKemPublic(epochKey.kem, epochKey.public);
  return epochKey;
}

function takeSetAdmins(body: Value | undefined): Op {
  const [admins, adminK] = takeItems(body, 2);
  const ids = takeList(admins, 0, MAX_ADMINS).map((id) => takeBytes(id, ID_SIZE));
  if (!ids.every((id, at) => at === 0 || isBefore(ids[at - 1]!, id))) {
    throw malformed("its admins are not in ascending order");
  }
  return { name: "set-admins", admins: ids, adminK: takeAdminK(adminK) };
}

async function takeWriters(value: Value | undefined): Promise<Writer[]> {
  const writers = await Promise.all(takeList(value, 0, MAX_WRITERS).map(takeWriter));
  if (new Set(writers.map((writer) => String(writer.public))).size !== writers.length) {
    throw malformed("two of its writers have the same key");
  }
  return writers;
}

/** Read a column's state. Throws `format.malformed`. */
export function takeColumn(value: Value | undefined): Column {
  const [table, column, state] = takeItems(value, 3);
  const named = { table: takeName(table), column: takeName(column) };
  if (state !== 1 && state !== 2) throw malformed("it names an unknown state of a column");
  return { ...named, state };
}

function takeAdminK(value: Value | undefined): number {
  const adminK = takeNumber(value, MAX_ADMINS);
  if (adminK < 1) throw malformed("no admin would have to sign");
  return adminK;
}
