// Entries of the membership log as bytes. Nothing in a decoded entry is verified; log.ts does that.

import { concat, equal, type Bytes } from "../bytes.ts";
import {
  decodeLabelled,
  encode,
  MAX_SIZE,
  takeBytes,
  takeItems,
  takeList,
  takeText,
  takeUint,
  type Uint,
  type Value,
} from "../cbor.ts";
import { malformed } from "../errors.ts";
import { sha256 } from "../primitives.ts";
import { takeOp, type Op } from "./ops.ts";
import { HASH_SIZE, ID_SIZE, isBefore, MAX_ADMINS, SIGNATURE_SIZE } from "./wire.ts";

export const ENTRY = "twinlock/v2/log";
export const SIGNED = "twinlock/v1/log-signed";
const MAX_SIGNED_SIZE = MAX_SIZE + 200 * MAX_ADMINS;

/** One statement about a group. */
export interface Entry {
  readonly deploymentId: Bytes;
  readonly groupId: Bytes;
  readonly seq: Uint;
  readonly prev: Bytes;
  readonly op: Op;
  readonly actorId: Bytes;
  readonly actorKid: Bytes;
}

/** A member's signature over the entry bytes with the key that `kid` names. */
export interface EntrySignature {
  readonly memberId: Bytes;
  readonly kid: Bytes;
  readonly signature: Bytes;
}

/**
 * An entry with its signatures: the actor's first, the others ascending by member and key.
 *
 * `entryHash` is over the entry alone, `head` over `countersigned`: entry and signatures (R-LOG-9).
 */
export interface SignedEntry {
  readonly entry: Entry;
  readonly entryBytes: Bytes;
  readonly signatures: readonly EntrySignature[];
  readonly countersignature: Bytes;
  readonly countersigned: Bytes;
  readonly entryHash: Bytes;
  readonly head: Bytes;
}

/** Read a signed entry, strictly. Throws `format.*`, `key.malformed` or `log.unknown-op`. */
export async function decodeSignedEntry(data: Bytes): Promise<SignedEntry> {
  const [raw, signatures, countersignature] = decodeLabelled(data, SIGNED, 4, MAX_SIGNED_SIZE);
  const taken = takeList(signatures, 1, MAX_ADMINS).map(takeSignature);
  requireAscending(taken.slice(1));
  const entryBytes = takeBytes(raw);
  const countersigned = concat(entryBytes, encode(takeList(signatures)));
  return {
    entry: await decodeEntry(entryBytes),
    entryBytes,
    signatures: taken,
    countersignature: takeCountersignature(countersignature),
    countersigned,
    entryHash: await sha256(entryBytes),
    head: await sha256(countersigned),
  };
}

async function decodeEntry(data: Bytes): Promise<Entry> {
  const items = decodeLabelled(data, ENTRY, 10);
  const [deployment, groupId, seq, prev, op, body, actorId, actorKid, time] = items;
  const placed = {
    deploymentId: takeBytes(deployment, ID_SIZE),
    groupId: takeBytes(groupId),
    seq: takeUint(seq),
    prev: takeBytes(prev, HASH_SIZE),
  };
  const entry: Entry = {
    ...placed,
    op: await takeOp(takeText(op), body),
    actorId: takeBytes(actorId, ID_SIZE),
    actorKid: takeBytes(actorKid, ID_SIZE),
  };
  takeUint(time);
  const founding = entry.op.name === "found";
  if (founding !== (entry.seq === 0) || entry.groupId.length !== (founding ? 0 : HASH_SIZE)) {
    throw malformed("exactly the entry 0 founds a group, and it bears no group id");
  }
  return entry;
}

function takeCountersignature(value: Value | undefined): Bytes {
  const countersignature = takeBytes(value);
  return countersignature.length === 0 ? countersignature : takeBytes(value, SIGNATURE_SIZE);
}

function takeSignature(value: Value): EntrySignature {
  const [memberId, kid, signature] = takeItems(value, 3);
  return {
    memberId: takeBytes(memberId, ID_SIZE),
    kid: takeBytes(kid, ID_SIZE),
    signature: takeBytes(signature, SIGNATURE_SIZE),
  };
}

/** One set of signatures has one encoding, with one signature for a member's key (R-LOG-7). */
function requireAscending(signatures: readonly EntrySignature[]): void {
  signatures.forEach((signature, at) => {
    const before = signatures[at - 1];
    if (before !== undefined && !follows(before, signature)) {
      throw malformed("its signatures are not in ascending order");
    }
  });
}

function follows(before: EntrySignature, after: EntrySignature): boolean {
  if (equal(before.memberId, after.memberId)) return isBefore(before.kid, after.kid);
  return isBefore(before.memberId, after.memberId);
}
