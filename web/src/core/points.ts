/** Checks of public keys before anything relies on them (R-KEY-5). All values here are public. */
import { hex, toBigInt } from "./bytes.ts";
import { malformedKey } from "./errors.ts";

/** HPKE KEM identifiers (IANA HPKE registry). */
export const DHKEM_P256 = 0x0010;
export const MLKEM768_X25519 = 0x647a;
export type Kem = typeof DHKEM_P256 | typeof MLKEM768_X25519;

/** The name that people read. */
export const KEM_NAMES: Readonly<Record<Kem, string>> = {
  [DHKEM_P256]: "DHKEM-P256",
  [MLKEM768_X25519]: "MLKEM768-X25519",
};

const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
export const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const LATTICE_SIZE = 1184;
const LATTICE_VECTOR_SIZE = 1152;
const CURVE25519_SIZE = 32;
const Q = 3329;

const CHECKED_POINTS = 4096;
const points = new Set<string>();

/** Whether these are 65 bytes of an uncompressed point on P-256 (cofactor 1: the whole check). */
export function isP256Point(key: Uint8Array): boolean {
  if (key.length !== 65 || key[0] !== 4) return false;
  const name = hex(key);
  if (points.has(name)) return true;
  const x = toBigInt(key.subarray(1, 33));
  const y = toBigInt(key.subarray(33));
  const onCurve = x < P && y < P && (y * y - (x * x * x - 3n * x + B)) % P === 0n;
  if (onCurve) {
    if (points.size >= CHECKED_POINTS) points.clear();
    points.add(name);
  }
  return onCurve;
}

/** FIPS 203 section 7.2: the encoded vector holds numbers below q only. */
function isLatticeKey(key: Uint8Array): boolean {
  for (let at = 0; at < LATTICE_VECTOR_SIZE; at += 3) {
    const low = key[at]! | ((key[at + 1]! & 15) << 8);
    const high = (key[at + 1]! >> 4) | (key[at + 2]! << 4);
    if (low >= Q || high >= Q) return false;
  }
  return true;
}

/** Throw `key.malformed` unless this is an uncompressed P-256 point. */
export function requireSigningPublic(key: Uint8Array): void {
  if (!isP256Point(key)) throw malformedKey();
}

/** Throw `key.malformed` unless this is a public key of that KEM. */
export function requireKemPublic(kem: Kem, key: Uint8Array): void {
  if (kem === DHKEM_P256) return requireSigningPublic(key);
  if (key.length !== LATTICE_SIZE + CURVE25519_SIZE || !isLatticeKey(key)) throw malformedKey();
}
