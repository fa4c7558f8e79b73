/**
 * The one module that touches WebCrypto, HPKE aside. Nothing here returns false: what does not
 * hold throws. `globalThis.crypto` is looked up at each use, since tests set it.
 */
import { bigEndian, concat, hex, toBigInt, type Bytes } from "./bytes.ts";
import { malformedKey, notAuthentic } from "./errors.ts";
import { isP256Point, P256_ORDER } from "./points.ts";

const ECDSA = { name: "ECDSA", hash: "SHA-256" };
const P256 = { name: "ECDSA", namedCurve: "P-256" };
const HALF_ORDER = P256_ORDER / 2n;
const CACHED_KEYS = 512;
const KEY_SIZE = 32;

export function subtle(): SubtleCrypto {
  return globalThis.crypto.subtle;
}

/** `size` uniformly random bytes. */
export function random(size: number): Bytes {
  return globalThis.crypto.getRandomValues(new Uint8Array(size));
}

/** SHA-256 of the concatenation of `parts`. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await subtle().digest("SHA-256", concat(...parts)));
}

/** The 16-byte id of a public key: the head of its SHA-256 (R-KEY-6). */
export async function keyId(publicKey: Uint8Array): Promise<Bytes> {
  return (await sha256(publicKey)).slice(0, 16);
}

/** A key for HMAC-SHA-256 that no script can read back; `key` is not empty. */
export function hmacKey(key: Bytes): Promise<CryptoKey> {
  return subtle().importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
}

/** HMAC-SHA-256 (RFC 2104); 32 bytes. */
export async function hmac(key: CryptoKey | Bytes, message: Bytes): Promise<Bytes> {
  const imported = key instanceof Uint8Array ? await hmacKey(key) : key;
  return new Uint8Array(await subtle().sign("HMAC", imported, message));
}

/** HKDF-Extract with SHA-256, by default without salt (RFC 5869 section 2.2). */
export function hkdfExtract(material: Bytes, salt: Bytes = new Uint8Array(32)): Promise<Bytes> {
  return hmac(salt, material);
}

/** PBKDF2 with HMAC-SHA-256 (RFC 8018 section 5.2); 32 bytes. */
export async function pbkdf2(password: Bytes, salt: Bytes, iterations: number): Promise<Bytes> {
  const key = await subtle().importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return new Uint8Array(await subtle().deriveBits(algorithm, key, 256));
}

/** HKDF-Expand with SHA-256 to 32 bytes, which is one block (RFC 5869 section 2.3). */
export function hkdfExpand(prk: Bytes, info: Uint8Array): Promise<Bytes> {
  return hmac(prk, concat(info, Uint8Array.of(1)));
}

/** Open AES-256-GCM with a 12-byte nonce and appended tag. Throws `data.not-authentic`. */
export async function gcmOpen(
  key: Bytes,
  nonce: Bytes,
  ciphertext: Bytes,
  additional: Bytes,
): Promise<Bytes> {
  const imported = await subtle().importKey("raw", key, "AES-GCM", false, ["decrypt"]);
  const algorithm = { name: "AES-GCM", iv: nonce, additionalData: additional, tagLength: 128 };
  try {
    return new Uint8Array(await subtle().decrypt(algorithm, imported, ciphertext));
  } catch (error) {
    throw notAuthentic("AES-GCM: tag mismatch", error);
  }
}

/** Seal with AES-256-GCM under a fresh 12-byte nonce; the tag is appended. */
export async function gcmSeal(key: Bytes, nonce: Bytes, plaintext: Bytes, additional: Bytes): Promise<Bytes> {
  const imported = await subtle().importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  const algorithm = { name: "AES-GCM", iv: nonce, additionalData: additional, tagLength: 128 };
  return new Uint8Array(await subtle().encrypt(algorithm, imported, plaintext));
}

/** AES-256-KW (RFC 3394) of each 32-byte key under one fresh key; 40 bytes each, in order. */
export async function wrapKeys(wrappingKey: Bytes, keys: readonly Bytes[]): Promise<Bytes[]> {
  const kek = await subtle().importKey("raw", wrappingKey, "AES-KW", false, ["wrapKey"]);
  return Promise.all(
    keys.map(async (key) => {
      if (key.length !== KEY_SIZE) throw notAuthentic("AES key wrap: wrong length");
      const algorithm = { name: "HMAC", hash: "SHA-256" };
      const imported = await subtle().importKey("raw", key, algorithm, true, ["sign"]);
      return new Uint8Array(await subtle().wrapKey("raw", imported, kek, "AES-KW"));
    }),
  );
}

// --- ECDSA -----------------------------------------------------------------------------------

const verifyingKeys = new Map<string, Promise<CryptoKey>>();

function verifyingKey(publicKey: Bytes): Promise<CryptoKey> {
  const name = hex(publicKey);
  let key = verifyingKeys.get(name);
  if (key === undefined) {
    if (verifyingKeys.size >= CACHED_KEYS) verifyingKeys.clear();
    key = subtle().importKey("raw", publicKey, P256, true, ["verify"]);
    verifyingKeys.set(name, key);
  }
  return key;
}

/** Check ECDSA P-256/SHA-256, `r || s` with s in the lower half (R-SIG-1); `data.not-authentic`. */
export async function verify(publicKey: Bytes, message: Bytes, signature: Bytes): Promise<void> {
  if (signature.length !== 64) throw notAuthentic("signature: wrong length");
  if (toBigInt(signature.subarray(32)) > HALF_ORDER) {
    throw notAuthentic("signature: s is not in the lower half");
  }
  if (!isP256Point(publicKey)) throw notAuthentic("signature: its key is no P-256 point");
  const key = await verifyingKey(publicKey);
  if (!(await subtle().verify(ECDSA, key, signature, message))) {
    throw notAuthentic("signature: does not match");
  }
}

/** Sign with ECDSA P-256/SHA-256; `r || s`, 64 bytes, s in the lower half. */
export async function sign(key: CryptoKey, message: Bytes): Promise<Bytes> {
  const signature = new Uint8Array(await subtle().sign(ECDSA, key, message));
  const s = toBigInt(signature.subarray(32));
  if (s > HALF_ORDER) signature.set(bigEndian(P256_ORDER - s, 32), 32);
  return signature;
}

// --- public keys of the token ----------------------------------------------------------------

/** The 65-byte point of a P-256 SubjectPublicKeyInfo, else throws `key.malformed`. */
export async function p256PointOf(spki: Bytes): Promise<Bytes> {
  try {
    const key = await subtle().importKey("spki", spki, P256, true, ["verify"]);
    return new Uint8Array(await subtle().exportKey("raw", key));
  } catch (error) {
    throw malformedKey(error);
  }
}

export type OaepHash = "sha1" | "sha256";
const OAEP_HASHES = { sha1: "SHA-1", sha256: "SHA-256" } as const;

/** An RSA key of 2048 to 8192 bits with exponent 65537 (R-KEY-7), else throws `key.malformed`. */
export async function rsaPublicKey(spki: Bytes, hash: OaepHash): Promise<CryptoKey> {
  const key = await importRsa(spki, hash);
  const { modulusLength, publicExponent } = key.algorithm as RsaHashedKeyAlgorithm;
  const usual = toBigInt(publicExponent) === 65537n;
  if (modulusLength < 2048 || modulusLength > 8192 || !usual) throw malformedKey();
  return key;
}

async function importRsa(spki: Bytes, hash: OaepHash): Promise<CryptoKey> {
  const algorithm = { name: "RSA-OAEP", hash: OAEP_HASHES[hash] };
  try {
    return await subtle().importKey("spki", spki, algorithm, false, ["encrypt"]);
  } catch (error) {
    throw malformedKey(error);
  }
}

/** RSA-OAEP with the key's hash for OAEP and MGF1 and an empty label (R-KEY-8). */
export async function rsaEncrypt(key: CryptoKey, plaintext: Bytes): Promise<Bytes> {
  return new Uint8Array(await subtle().encrypt({ name: "RSA-OAEP" }, key, plaintext));
}
