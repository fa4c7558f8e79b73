// A group's state as bytes, for a member's own state. It carries no signatures: whoever stores it
// authenticates it.

import { bigEndian, concat, equal, fromHex, hex, join, toBigInt, utf8, type Bytes } from "../bytes.ts";
import {
  decodeLabelled,
  encode,
  takeBytes,
  takeItems,
  takeList,
  takeNumber,
  takeText,
  takeUint,
  type Uint,
  type Value,
} from "../cbor.ts";
import { malformed } from "../errors.ts";
import { memberItems, takeMember, takeRole, takeWriter, type Writer } from "./member.ts";
import { takeColumn, takeEpochKey, type Column } from "./ops.ts";
import { policyItems, takePolicy } from "./policy.ts";
import { columnKey, GroupState, type Epoch, type Membership } from "./state.ts";
import { HASH_SIZE, ID_SIZE, isBefore } from "./wire.ts";

const LABEL = "twinlock/v3/log-state";
const MAX_STATE_SIZE = 1 << 28;
const ROW_SIZE = ID_SIZE + 8;

export function encodeState(group: GroupState): Bytes {
  const { deploymentId, groupId, name, policy, adminK, identity, recovery } = group.founding;
  return encode([
    LABEL,
    deploymentId,
    groupId,
    name,
    policyItems(policy),
    group.seq,
    group.head,
    byKey(group.members).map(membershipItems),
    adminK,
    group.epochs.map(epochItems),
    sortedWriters(group.writers).map((writer) => [writer.name, writer.public]),
    identity,
    recovery,
    sortedColumns(group).map(({ table, column, state }) => [table, column, state]),
    packSeqs(group.removed),
    packSeqs(group.retired),
  ]);
}

/** Read what `encodeState` returned; the caller has authenticated it. Throws `format.*`. */
export async function decodeState(data: Bytes): Promise<GroupState> {
  const items = decodeLabelled(data, LABEL, 16, MAX_STATE_SIZE);
  const [deployment, groupId, name, policy, seq, head, members, adminK, ...rest] = items;
  const [epochs, writers, identity, recovery, columns, removed, retired] = rest;
  const group = new GroupState({
    deploymentId: takeBytes(deployment, ID_SIZE),
    groupId: takeBytes(groupId, HASH_SIZE),
    name: takeText(name),
    policy: takePolicy(policy),
    adminK: takeNumber(adminK),
    identity: takeBytes(identity, HASH_SIZE),
    recovery: recovery === null ? null : takeBytes(recovery, HASH_SIZE),
  });
  group.seq = takeUint(seq);
  group.head = takeBytes(head, HASH_SIZE);
  const memberships = await Promise.all(takeList(members, 1).map(takeMembership));
  for (const membership of memberships) group.putMember(membership);
  takeList(epochs, 1).forEach((value) => group.putEpoch(takeEpoch(value)));
  group.writers = await Promise.all(takeList(writers).map(takeWriter));
  for (const column of takeList(columns).map(takeColumn)) {
    group.columns.set(columnKey(column.table, column.column), column);
  }
  takeSeqs(removed, group.removed);
  takeSeqs(retired, group.retired);
  const numbered = group.epochs.every((epoch, at) => epoch.number === at + 1);
  if (!numbered || !equal(encodeState(group), data)) {
    throw malformed("it is not the encoding of a state");
  }
  return group;
}

function membershipItems({ member, role, ...keys }: Membership): Value {
  return [memberItems(member), role, keys.sinceSeq, keys.keysSeq, keys.keysHash];
}

async function takeMembership(value: Value): Promise<Membership> {
  const [member, role, sinceSeq, keysSeq, keysHash] = takeItems(value, 5);
  return {
    member: await takeMember(member),
    role: takeRole(role),
    sinceSeq: takeUint(sinceSeq),
    keysSeq: takeUint(keysSeq),
    keysHash: takeBytes(keysHash, HASH_SIZE),
  };
}

function epochItems(epoch: Epoch): Value {
  return [epoch.number, epoch.kem, epoch.public, epoch.seq, epoch.entryHash, epoch.madeBy];
}

function takeEpoch(value: Value): Epoch {
  const [number, kem, key, seq, entryHash, madeBy] = takeItems(value, 6);
  return {
    ...takeEpochKey([number!, kem!, key!]),
    seq: takeUint(seq),
    entryHash: takeBytes(entryHash, HASH_SIZE),
    madeBy: takeBytes(madeBy, ID_SIZE),
  };
}

/** The values of a map in the order of its keys, which are hexadecimal. */
function byKey<V>(map: ReadonlyMap<string, V>): V[] {
  return [...map].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, value]) => value);
}

function sortedWriters(writers: readonly Writer[]): Writer[] {
  return byKey(new Map(writers.map((writer) => [hex(writer.kid), writer])));
}

/** By the UTF-8 of table, then of column. */
function sortedColumns(group: GroupState): Column[] {
  return [...group.columns.values()].sort((left, right) => {
    const same = left.table === right.table;
    const [a, b] = same ? [left.column, right.column] : [left.table, right.table];
    return isBefore(utf8(a), utf8(b)) ? -1 : 1;
  });
}

/** 16-byte id || 8-byte seq, ascending: one string, since there may be very many. */
function packSeqs(seqs: ReadonlyMap<string, Uint>): Bytes {
  const ids = [...seqs.keys()].sort();
  return join(ids.map((id) => concat(fromHex(id), bigEndian(seqs.get(id)!, 8))));
}

function takeSeqs(value: Value | undefined, into: Map<string, Uint>): void {
  const packed = takeBytes(value);
  if (packed.length % ROW_SIZE !== 0) throw malformed("a list of numbered ids is cut off");
  for (let at = 0; at < packed.length; at += ROW_SIZE) {
    const seq = toBigInt(packed.subarray(at + ID_SIZE, at + ROW_SIZE));
    into.set(hex(packed.subarray(at, at + ID_SIZE)), Number(seq));
  }
}
