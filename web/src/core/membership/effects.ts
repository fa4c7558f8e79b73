// What an entry does to its group, and what no signature makes possible.

import { equal, hex, type Bytes } from "../bytes.ts";
import { MLKEM768_X25519, type Kem } from "../points.ts";
import type { SignedEntry } from "./entry.ts";
import type { Member, Traits } from "./member.ts";
import type { EpochKey, Found, MemberInRole, MemberRekey, Op } from "./ops.ts";
import type { Policy } from "./policy.ts";
import { brokenChain, lastAdmin, lastOpener, NotAllowedError } from "./refused.ts";
import { columnKey, GroupState, kidsOf } from "./state.ts";
import { PQ_AT_REST, unexcepted } from "./traits.ts";

/** Begin a group. Throws `log.not-allowed` or `log.last-admin`. */
export function found(signed: SignedEntry, op: Found): GroupState {
  const group = new GroupState({
    deploymentId: signed.entry.deploymentId,
    groupId: signed.entryHash,
    name: op.groupName,
    policy: op.policy,
    adminK: op.adminK,
    identity: op.identity,
    recovery: op.recovery,
  });
  for (const member of op.members) enter(group, signed, member);
  beginEpoch(group, signed, op.epochKey);
  requireAdmins(group);
  return group;
}

/**
 * Change `group` as the entry says; its signers were checked before.
 *
 * Throws `log.not-allowed`, `log.last-admin` or `log.last-opener`; the group is then void.
 */
export function perform(group: GroupState, signed: SignedEntry): void {
  const { op, actorId } = signed.entry;
  switch (op.name) {
    case "found":
      throw brokenChain("a group is founded once, in entry 0");
    case "add":
      return enter(group, signed, op);
    case "remove":
      if (equal(op.memberId, actorId)) throw new NotAllowedError("use-leave");
      return go(group, signed, op.memberId, op.epochKey);
    case "leave":
      return go(group, signed, actorId, op.epochKey);
    case "new-epoch":
      return beginEpoch(group, signed, op.epochKey);
    case "member-rekey":
      return rekey(group, signed, op);
    case "restate":
      return restate(group, actorId, op.traits);
    case "recovery-begin":
    case "recovery-cancel":
      return; // A notice to the members' agents; the group stays as it is.
    default:
      return set(group, op);
  }
}

type Setting = Extract<Op, { readonly name: `set-${string}` }>;

function set(group: GroupState, op: Setting): void {
  switch (op.name) {
    case "set-admins":
      return setAdmins(group, op);
    case "set-writers":
      group.writers = op.writers;
      return;
    case "set-identity":
      group.founding.identity = op.fingerprint;
      return;
    case "set-policy":
      return setPolicy(group, op.policy);
    case "set-column": {
      const { table, column, state } = op;
      group.columns.set(columnKey(table, column), { table, column, state });
    }
  }
}

function enter(group: GroupState, signed: SignedEntry, { member, role }: MemberInRole): void {
  if (group.membership(member.memberId) !== undefined) throw new NotAllowedError("already-member");
  requireFreshKeys(group, member);
  const { seq } = signed.entry;
  group.putMember({ member, role, sinceSeq: seq, keysSeq: seq, keysHash: signed.entryHash });
}

function go(group: GroupState, signed: SignedEntry, memberId: Bytes, key: EpochKey): void {
  const membership = group.membership(memberId);
  if (membership === undefined) throw new NotAllowedError("unknown-member");
  group.dropMember(membership, signed.entry.seq);
  requireAdmins(group);
  if (group.members.size < 2 && group.founding.recovery === null) throw lastOpener();
  beginEpoch(group, signed, key);
}

function rekey(group: GroupState, signed: SignedEntry, op: MemberRekey): void {
  const { seq, actorId } = signed.entry;
  const old = group.membership(actorId)!;
  const member = { ...old.member, ...op.keys };
  group.retireKeys(old.member, seq);
  requireFreshKeys(group, member);
  group.putMember({ ...old, member, keysSeq: seq, keysHash: signed.entryHash });
  beginEpoch(group, signed, op.epochKey);
}

function restate(group: GroupState, memberId: Bytes, traits: Traits): void {
  const membership = group.membership(memberId)!;
  const member = { ...membership.member, traits };
  requireFloors(group.policy, [member]);
  group.putMember({ ...membership, member });
}

function beginEpoch(group: GroupState, signed: SignedEntry, key: EpochKey): void {
  if (key.number !== group.epochs.length + 1) throw new NotAllowedError("epoch-number");
  if (group.epochKeys.has(hex(key.public))) throw new NotAllowedError("epoch-key-reused");
  requireKem(group.policy, key.kem);
  const { seq, actorId } = signed.entry;
  group.putEpoch({ ...key, seq, entryHash: signed.entryHash, madeBy: actorId });
}

function setAdmins(group: GroupState, op: Extract<Op, { readonly name: "set-admins" }>): void {
  if (op.adminK < group.founding.adminK) throw new NotAllowedError("admin-k-lowered");
  const admins = new Set(op.admins.map(hex));
  for (const id of admins) {
    if (!group.members.has(id)) throw new NotAllowedError("unknown-member");
  }
  for (const id of new Set([...admins, ...group.admins])) {
    group.putMember({ ...group.members.get(id)!, role: admins.has(id) ? "admin" : "member" });
  }
  group.founding.adminK = op.adminK;
  requireAdmins(group);
}

function setPolicy(group: GroupState, policy: Policy): void {
  const dropped = unexcepted(group.policy.exceptions, policy.exceptions);
  if ((policy.pqAtRest && !group.policy.pqAtRest) || dropped.length > 0) {
    requireKem(policy, group.currentEpoch.kem);
    requireFloors(policy, [...group.members.values()].map(({ member }) => member));
  }
  group.founding.policy = policy;
}

/** A key has one member and one use: so k signatures are k members', and none returns. */
function requireFreshKeys(group: GroupState, member: Member): void {
  requireFloors(group.policy, [member]);
  if (equal(member.kemKid, member.signingKid)) throw new NotAllowedError("key-in-use");
  for (const kid of kidsOf(member)) {
    if (group.keysInUse.has(kid)) throw new NotAllowedError("key-in-use");
    if (group.retired.has(kid)) throw new NotAllowedError("key-retired");
  }
}

/** What the policy asks of members' keys and of what they state (R-LOG-21, R-LOG-38, R-LOG-39). */
function requireFloors(policy: Policy, members: readonly Member[]): void {
  for (const member of members) requireKem(policy, member.kem);
  if (policy.pqAtRest && !members.every(({ traits }) => traits.includes(PQ_AT_REST))) {
    throw new NotAllowedError("pq-not-stated");
  }
  if (members.some(({ traits }) => unexcepted(traits, policy.exceptions).length > 0)) {
    throw new NotAllowedError("not-excepted");
  }
}

function requireKem(policy: Policy, kem: Kem): void {
  if (policy.pqAtRest && kem !== MLKEM768_X25519) throw new NotAllowedError("pq-required");
}

function requireAdmins(group: GroupState): void {
  if (group.admins.size < group.founding.adminK) throw lastAdmin();
}
