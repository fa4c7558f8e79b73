// What stands in for a token and for an authenticator: with Node's own cryptography, not the agent's.

import { createECDH, createHash, createHmac } from "node:crypto";
import { copy, type Bytes } from "../../src/core/bytes.ts";
import { CipherSuite, Aes256Gcm, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import { bytesOf } from "./vectors.ts";

/** The P-256 scalar that RFC 9180 section 7.1.3 derives from a seed in hexadecimal. */
export async function scalarOf(seed: string): Promise<Bytes> {
  const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const { privateKey } = await suite.kem.deriveKeyPair(bytesOf(seed).buffer);
  const { d } = await crypto.subtle.exportKey("jwk", privateKey);
  return copy(Buffer.from(d!, "base64url"));
}

/** x-coordinates of a scalar times two points, as CKM_ECDH1_DERIVE gives them. */
export async function multiply(scalar: Promise<Bytes>, points: readonly [Bytes, Bytes]): Promise<[Bytes, Bytes]> {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(await scalar);
  return [copy(ecdh.computeSecret(points[0])), copy(ecdh.computeSecret(points[1]))];
}

/** A passkey's PRF: CTAP's hmac-secret of the hashed salt. */
export function prf(credRandom: Bytes, salt: Bytes): Bytes {
  const hashed = createHash("sha256").update("WebAuthn PRF\0").update(salt).digest();
  return copy(createHmac("sha256", credRandom).update(hashed).digest());
}
