/** Opening the inner lock: a group's seal of one record's release key (SPEC The inner locks). */
import { concat, utf8, type Bytes } from "./bytes.ts";
import { encode, type Uint } from "./cbor.ts";
import type { Core, GroupLock, SealedLock } from "./envelope.ts";
import { notAuthentic } from "./errors.ts";
import type { KemKey } from "./keys.ts";
import { hmac, requireEqual, sha256 } from "./primitives.ts";

const INFO = "twinlock/v1/lock";
const COMMIT = utf8("twinlock/v1/rk-commit");

/** What a lock is bound to beside its group's key. */
export interface LockBinding {
  readonly core: Core;
  readonly context: Bytes;
  readonly commitment: Bytes;
}

/**
 * Open a group's lock and return the 32-byte release key, checked against its commitment (R-LOCK-5).
 *
 * Throws `data.not-authentic`.
 */
export async function openLock(lock: GroupLock, key: KemKey, bound: LockBinding): Promise<Bytes> {
  const releaseKey = await openSealed(lock, key, bound, 0, 1);
  const commitment = await commit(releaseKey, bound.core.dekId);
  requireEqual(commitment, bound.commitment, "lock: the key does not match its commitment");
  return releaseKey;
}

/**
 * Open what is sealed to one group: the release key (`index` 0 of 1) or a share of it.
 *
 * Throws `data.not-authentic`.
 */
export async function openSealed(
  lock: SealedLock,
  key: KemKey,
  bound: LockBinding,
  index: number,
  count: number,
): Promise<Bytes> {
  if (key.kem !== lock.kem) throw notAuthentic("lock: its KEM is not the one of this epoch");
  const digest = await sha256(key.public);
  const secret = await key.open(lock.sealed, lockInfo(lock, digest, bound, index, count));
  if (secret.length !== 32) throw notAuthentic("lock: its content has a wrong length");
  return secret;
}

/** rc, the commitment to a release key (R-LOCK-1). */
export function commit(releaseKey: Bytes, dekId: Bytes): Promise<Bytes> {
  return hmac(releaseKey, concat(COMMIT, dekId));
}

function lockInfo(
  lock: SealedLock,
  publicDigest: Bytes,
  bound: LockBinding,
  index: Uint,
  count: Uint,
): Bytes {
  return encode([
    INFO,
    bound.core.raw,
    bound.context,
    lock.groupId,
    lock.epoch,
    lock.kem,
    publicDigest,
    index,
    count,
    bound.commitment,
  ]);
}
