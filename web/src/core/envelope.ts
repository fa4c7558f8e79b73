/** The envelope's parts that an agent sees: core, lock header, locks (SPEC Envelope). */
import type { Bytes } from "./bytes.ts";
import {
  decode,
  decodeLabelled,
  encode,
  takeBytes,
  takeItems,
  takeList,
  takeUint,
  type Uint,
  type Value,
} from "./cbor.ts";
import { malformed, unknownSuite } from "./errors.ts";
import { DHKEM_P256, MLKEM768_X25519, type Kem } from "./points.ts";

const CORE = "twinlock/v1/core";
/** Each layout, and the one content suite that lies in it. */
const SUITE_OF_LAYOUT = new Map<Uint, Uint>([
  [1, 1],
  [2, 1],
  [3, 1],
  [4, 2],
]);
const CONTENT_SUITES = new Set(SUITE_OF_LAYOUT.values());
const OUTER_SUITES = new Set<Uint>([1, 2, 3]);
const MAX_HEAD_SIZE = 192 << 10;
const MAX_CORE_SIZE = 256;

/** The immutable part: bound into the locks. */
export interface Core {
  readonly dekId: Bytes;
  readonly raw: Bytes;
}

interface SealedLock {
  readonly groupId: Bytes;
  readonly epoch: Uint;
  readonly kem: Kem;
  readonly sealed: Bytes;
}

/** One way in: the release key sealed to a group's key of one epoch. */
export interface GroupLock extends SealedLock {
  readonly kind: "group";
  readonly raw: Bytes;
}

/** One way in that needs every one of 2..8 groups; this agent only says so. */
export interface AllLock {
  readonly kind: "all";
  readonly groupIds: readonly Bytes[];
}

/** `raw` is a lock's own encoding, by whose SHA-256 a release names it. */
export type Lock = GroupLock | AllLock;

/** The rotating part. `commitment` is rc, the release key's HMAC. */
export interface LockHeader {
  readonly commitment: Bytes;
  readonly locks: readonly Lock[];
}

/**
 * Decode a core. Throws `format.*`, also for a content suite that does not lie in this layout, and
 * `suite.unknown` for a foreign one.
 */
export function decodeCore(raw: Bytes): Core {
  const [suite, dekId, layout, writerKid] = decodeLabelled(raw, CORE, 5, MAX_CORE_SIZE);
  if (!CONTENT_SUITES.has(takeUint(suite))) throw unknownSuite("content suite", suite);
  const fitting = SUITE_OF_LAYOUT.get(takeUint(layout));
  if (fitting === undefined) throw unknownSuite("layout", layout);
  if (fitting !== suite) throw malformed("its content suite does not lie in its layout");
  takeBytes(writerKid, 16);
  return { dekId: takeBytes(dekId, 16), raw };
}

/** Decode a lock header of 1..16 locks. Throws `format.*` or `suite.unknown`. */
export function decodeHeader(raw: Bytes): LockHeader {
  const value = decode(raw, MAX_HEAD_SIZE);
  if (value.length !== 4) throw malformed("a lock header has 4 items");
  const [commitment, suite, wrappingKid, locks] = value;
  takeBytes(commitment, 32);
  if (!OUTER_SUITES.has(takeUint(suite))) throw unknownSuite("outer suite", suite);
  takeBytes(wrappingKid, 16);
  return { commitment: takeBytes(commitment), locks: takeList(locks, 1, 16).map(takeLock) };
}

function takeLock(value: Value): Lock {
  if (!Array.isArray(value) || typeof value[0] !== "string") throw badShape();
  const [kind, ...rest] = value;
  if (kind === "group" && rest.length === 4) {
    return { kind, ...takeSealedLock(rest), raw: encode(value) };
  }
  if (kind === "all" && rest.length === 1) {
    return { kind, groupIds: takeList(rest[0], 2, 8).map(takeShare) };
  }
  if (kind !== "group" && kind !== "all") throw unknownSuite("kind of lock", kind);
  throw badShape();
}

/** The group of a share. */
function takeShare(value: Value): Bytes {
  const [kind, ...rest] = takeItems(value, 6);
  if (kind !== "share") throw malformed("one of its shares has another shape");
  const share = takeSealedLock(rest.slice(0, 4));
  takeBytes(rest[4], 32);
  return share.groupId;
}

function takeSealedLock([groupId, epoch, kem, sealed]: readonly Value[]): SealedLock {
  return {
    groupId: takeBytes(groupId, 32),
    epoch: takeUint(epoch),
    kem: takeKem(kem),
    sealed: takeSealed(sealed),
  };
}

function takeSealed(value: Value | undefined): Bytes {
  const sealed = takeBytes(value);
  if (sealed.length < 64 || sealed.length > 2048) {
    throw malformed("one of its locks has an impossible length");
  }
  return sealed;
}

function takeKem(value: Value | undefined): Kem {
  const kem = takeUint(value);
  if (kem !== DHKEM_P256 && kem !== MLKEM768_X25519) throw unknownSuite("KEM", kem);
  return kem;
}

function badShape(): Error {
  return malformed("one of its locks has another shape");
}
