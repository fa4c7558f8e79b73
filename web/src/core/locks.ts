/** Opening the inner lock: a group's seal of one record's release key (SPEC The inner locks). */
import { concat, equal, utf8, type Bytes } from "./bytes.ts";
import { encode } from "./cbor.ts";
import type { Core, GroupLock } from "./envelope.ts";
import { notAuthentic } from "./errors.ts";
import type { KemKey } from "./keys.ts";
import { hmac, sha256 } from "./primitives.ts";

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
  if (key.kem !== lock.kem) throw notAuthentic("lock: its KEM is not the one of this epoch");
  const info = lockInfo(lock, await sha256(key.public), bound);
  const releaseKey = await key.open(lock.sealed, info);
  if (releaseKey.length !== 32) throw notAuthentic("lock: its content has a wrong length");
  const commitment = await hmac(releaseKey, concat(COMMIT, bound.core.dekId));
  if (!equal(commitment, bound.commitment)) {
    throw notAuthentic("lock: the release key does not match its commitment");
  }
  return releaseKey;
}

function lockInfo(lock: GroupLock, publicDigest: Bytes, bound: LockBinding): Bytes {
  const { groupId, epoch, kem } = lock;
  const { core, context, commitment } = bound;
  // Index 0 of 1: this lock holds the release key itself, not a share (R-LOCK-3).
  return encode([INFO, core.raw, context, groupId, epoch, kem, publicDigest, 0, 1, commitment]);
}
