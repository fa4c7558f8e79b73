// Replaying what others wrote: nobody is asked who is in a group (R-LOG-1 to R-LOG-28).

import { equal, type Bytes } from "../bytes.ts";
import { verify } from "../primitives.ts";
import { checkAuthority, checkFounder } from "./authority.ts";
import { found, perform } from "./effects.ts";
import { decodeSignedEntry, type SignedEntry } from "./entry.ts";
import { badCountersignature, brokenChain, fork, rollback, wrongGroup } from "./refused.ts";
import type { PinnedHead } from "./refused.ts";
import type { GroupState } from "./state.ts";

const NO_PREV = new Uint8Array(32);

/** What the reader knows when it replays. */
export interface Replay {
  readonly deploymentId: Bytes;
  /** A state that the reader verified before; entries go on after it. */
  readonly start?: GroupState | undefined;
  /** The token's log key (65-byte point); if given, every entry must be countersigned. */
  readonly logKey?: Bytes | undefined;
  /** A head seen before, at or after `start`, which the log must contain. */
  readonly pin?: PinnedHead | undefined;
}

/**
 * Verify encoded signed entries, in order, and return what they say.
 *
 * Throws `format.*`, `key.malformed` or `log.*`. A refused entry changes nothing.
 */
export async function replay(entries: Iterable<Bytes>, known: Replay): Promise<GroupState> {
  let group = known.start?.copy();
  if (group !== undefined) {
    if (!equal(group.founding.deploymentId, known.deploymentId)) throw wrongGroup("deployment");
    checkPin(group, known.pin);
  }
  for (const data of entries) {
    const signed = await decodeSignedEntry(data);
    if (group === undefined) group = await begin(signed, known);
    else await advance(group, signed, known);
    checkPin(group, known.pin);
  }
  if (group === undefined) throw brokenChain("it has no entries");
  checkEnd(group, known.pin);
  return group;
}

async function begin(signed: SignedEntry, known: Replay): Promise<GroupState> {
  const { entry } = signed;
  if (!equal(entry.deploymentId, known.deploymentId)) throw wrongGroup("deployment");
  if (entry.op.name !== "found") throw brokenChain("it does not begin with entry 0");
  if (!equal(entry.prev, NO_PREV)) throw brokenChain("entry 0 names an entry before it");
  await checkCountersignature(signed, known.logKey);
  await checkFounder(signed, entry.op);
  const group = found(signed, entry.op);
  group.head = signed.head;
  return group;
}

async function advance(group: GroupState, signed: SignedEntry, known: Replay): Promise<void> {
  const { entry } = signed;
  if (!equal(entry.deploymentId, known.deploymentId)) throw wrongGroup("deployment");
  if (entry.seq !== Number(group.seq) + 1) {
    throw brokenChain(`entry ${entry.seq} follows entry ${group.seq}`);
  }
  if (!equal(entry.groupId, group.groupId)) throw wrongGroup("group");
  if (!equal(entry.prev, group.head)) {
    throw brokenChain(`entry ${entry.seq} names another entry before it`);
  }
  await checkCountersignature(signed, known.logKey);
  await checkAuthority(group, signed);
  perform(group, signed);
  group.seq = entry.seq;
  group.head = signed.head;
}

async function checkCountersignature(signed: SignedEntry, logKey?: Bytes): Promise<void> {
  if (logKey === undefined) return;
  const { countersigned, countersignature } = signed;
  await verify(logKey, countersigned, countersignature).catch((error: unknown) => {
    throw badCountersignature(error);
  });
}

function checkPin(group: GroupState, pin: PinnedHead | undefined): void {
  if (pin === undefined || pin.seq !== group.seq) return;
  requirePinnedGroup(group, pin);
  if (!equal(pin.head, group.head)) throw fork(pin, headOf(group));
}

function checkEnd(group: GroupState, pin: PinnedHead | undefined): void {
  if (pin === undefined || pin.seq <= group.seq) return;
  requirePinnedGroup(group, pin);
  throw rollback(pin, headOf(group));
}

function requirePinnedGroup(group: GroupState, pin: PinnedHead): void {
  if (!equal(pin.groupId, group.groupId)) throw wrongGroup("group than the pinned head");
}

/** The head to pin after this state was verified. */
export function headOf(group: GroupState): PinnedHead {
  return { groupId: group.groupId, seq: group.seq, head: group.head };
}
