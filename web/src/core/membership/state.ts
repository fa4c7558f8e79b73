// What a replayed log says about its group.

import { hex, type Bytes } from "../bytes.ts";
import { encode, type Uint } from "../cbor.ts";
import { TwinlockError } from "../errors.ts";
import type { Member, Role, Writer } from "./member.ts";
import type { Column, EpochKey } from "./ops.ts";
import type { Policy } from "./policy.ts";

const GROUP_KEY = "twinlock/v1/group-key";

/**
 * A member in a group. `sinceSeq`: the entry that brought the member in. `keysSeq`, `keysHash`: seq
 * and hash of the entry that gave the present keys, the same one until a member-rekey.
 */
export interface Membership {
  readonly member: Member;
  readonly role: Role;
  readonly sinceSeq: Uint;
  readonly keysSeq: Uint;
  readonly keysHash: Bytes;
}

/** One epoch of the group key. `madeBy` made it, and so held its private key. */
export interface Epoch extends EpochKey {
  readonly seq: Uint;
  readonly entryHash: Bytes;
  readonly madeBy: Bytes;
}

/** What entry 0 fixes, and what later entries set as a whole. */
export interface GroupFounding {
  readonly deploymentId: Bytes;
  readonly groupId: Bytes;
  readonly name: string;
  policy: Policy;
  adminK: number;
  identity: Bytes;
  readonly recovery: Bytes | null;
}

/**
 * A group after entry `seq`. Keys of its maps and sets are hexadecimal: `members` and `removed` by member id,
 * `writers` and `retired` by key id; `columns` by table and column.
 *
 * Replaying changes a copy, so a state that somebody holds stays as it is.
 */
export class GroupState {
  seq: Uint = 0;
  head: Bytes = new Uint8Array(0);
  readonly members = new Map<string, Membership>();
  /** Ids of the admins among them. */
  readonly admins = new Set<string>();
  /** Key ids of the present members' keys, two a member. */
  readonly keysInUse = new Set<string>();
  readonly epochs: Epoch[] = [];
  /** The group's public keys of all epochs. */
  readonly epochKeys = new Set<string>();
  writers: readonly Writer[] = [];
  readonly columns = new Map<string, Column>();
  readonly removed = new Map<string, Uint>();
  readonly retired = new Map<string, Uint>();

  constructor(readonly founding: GroupFounding) {}

  /** A copy to replay further entries on. */
  copy(): GroupState {
    const copied = new GroupState({ ...this.founding });
    copied.seq = this.seq;
    copied.head = this.head;
    for (const membership of this.members.values()) copied.putMember(membership);
    for (const epoch of this.epochs) copied.putEpoch(epoch);
    copied.writers = this.writers;
    for (const [key, column] of this.columns) copied.columns.set(key, column);
    for (const [id, seq] of this.removed) copied.removed.set(id, seq);
    for (const [kid, seq] of this.retired) copied.retired.set(kid, seq);
    return copied;
  }

  get groupId(): Bytes {
    return this.founding.groupId;
  }

  get name(): string {
    return this.founding.name;
  }

  get policy(): Policy {
    return this.founding.policy;
  }

  /** The newest epoch. */
  get currentEpoch(): Epoch {
    return this.epochs[this.epochs.length - 1]!;
  }

  /** True while the current group key was made by someone who has left: R-LOG-24. */
  get needsNewEpoch(): boolean {
    return !this.members.has(hex(this.currentEpoch.madeBy));
  }

  /** Enter a member, or new keys or another role of one. */
  putMember(membership: Membership): void {
    const id = hex(membership.member.memberId);
    this.members.set(id, membership);
    for (const kid of kidsOf(membership.member)) this.keysInUse.add(kid);
    this.removed.delete(id);
    if (membership.role === "admin") this.admins.add(id);
    else this.admins.delete(id);
  }

  /** Take a member out and retire the keys. */
  dropMember({ member }: Membership, seq: Uint): void {
    const id = hex(member.memberId);
    this.members.delete(id);
    this.admins.delete(id);
    this.removed.set(id, seq);
    this.retireKeys(member, seq);
  }

  /** Note that these keys were given up and never come back. */
  retireKeys(member: Member, seq: Uint): void {
    for (const kid of kidsOf(member)) {
      this.keysInUse.delete(kid);
      this.retired.set(kid, seq);
    }
  }

  /** Enter the next epoch. */
  putEpoch(epoch: Epoch): void {
    this.epochs.push(epoch);
    this.epochKeys.add(hex(epoch.public));
  }

  membership(memberId: Bytes): Membership | undefined {
    return this.members.get(hex(memberId));
  }

  epoch(number: Uint): Epoch | undefined {
    return this.epochs[Number(number) - 1];
  }

  /** The HPKE info for a member's sealed group key (R-LOG-25). Throws `log.unknown-member`. */
  groupKeyInfo(memberId: Bytes, epoch: Epoch): Bytes {
    const membership = this.membership(memberId);
    if (membership === undefined) {
      throw new TwinlockError(
        "log.unknown-member",
        `The group has no member ${hex(memberId)}.`,
        "Replay the newest log: the member may have been added or removed since.",
      );
    }
    const granted = membership.keysSeq > epoch.seq ? membership.keysHash : epoch.entryHash;
    const { deploymentId, groupId } = this.founding;
    const { kemKid } = membership.member;
    return encode([GROUP_KEY, deploymentId, groupId, epoch.number, granted, memberId, kemKid]);
  }
}

/** The key ids of a member's two keys, in hexadecimal. */
export function kidsOf(member: Member): string[] {
  return [hex(member.signingKid), hex(member.kemKid)];
}

/** A column's place in `GroupState.columns`; names hold no control characters. */
export function columnKey(table: string, column: string): string {
  return `${table}\0${column}`;
}
