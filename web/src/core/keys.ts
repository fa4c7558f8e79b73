/**
 * Private keys: made from 32-byte seeds as RFC 9180 section 7.1.3 derives them, and kept as
 * CryptoKeys that no script can read back.
 *
 * @hpke/core imports the scalar as PKCS#8 without a public point and has the browser compute that
 * point. Where a browser cannot export it, this agent refuses to run: that library's substitute
 * guesses one of two points.
 */
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import { concat, type Bytes } from "./bytes.ts";
import { notAuthentic, TwinlockError, unsupportedKem } from "./errors.ts";
import { DHKEM_P256, KEM_NAMES, type Kem } from "./points.ts";
import { keyId, sign, subtle } from "./primitives.ts";

const POINT_SIZE = 65;
const TAG_SIZE = 16;
const suite = new CipherSuite({
  kem: new DhkemP256HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

interface Derived {
  readonly point: Bytes;
  readonly jwk: JsonWebKey;
}

/** A DHKEM-P256 private key. */
export class KemKey {
  readonly kem = DHKEM_P256;
  readonly public: Bytes;
  readonly #pair: CryptoKeyPair;

  private constructor(point: Bytes, pair: CryptoKeyPair) {
    this.public = point;
    this.#pair = pair;
  }

  /** Derive the key of a seed. Throws `agent.kem-unsupported` for another KEM. */
  static async fromSeed(kem: Kem, seed: Bytes): Promise<KemKey> {
    requireSupported(kem);
    const { point, jwk } = await derive(seed);
    const algorithm = { name: "ECDH", namedCurve: "P-256" };
    const privateKey = await subtle().importKey("jwk", jwk, algorithm, false, ["deriveBits"]);
    const publicKey = await subtle().importKey("raw", point, algorithm, true, []);
    return new KemKey(point, { privateKey, publicKey });
  }

  /** Open `enc || ct` (HPKE base mode, no additional data). Throws `data.not-authentic`. */
  async open(sealed: Bytes, info: Bytes): Promise<Bytes> {
    if (sealed.length < POINT_SIZE + TAG_SIZE) throw notAuthentic("HPKE: too short");
    const enc = sealed.slice(0, POINT_SIZE).buffer;
    try {
      const context = { recipientKey: this.#pair, enc, info: info.slice().buffer };
      return new Uint8Array(await suite.open(context, sealed.slice(POINT_SIZE).buffer));
    } catch (error) {
      throw notAuthentic("HPKE: cannot be opened with this key and info", error);
    }
  }
}

/** An ECDSA P-256 private key. */
export class SigningKey {
  readonly public: Bytes;
  /** The key's id, 16 bytes. */
  readonly kid: Bytes;
  readonly #key: CryptoKey;

  private constructor(point: Bytes, kid: Bytes, key: CryptoKey) {
    this.public = point;
    this.kid = kid;
    this.#key = key;
  }

  static async fromSeed(seed: Bytes): Promise<SigningKey> {
    const { point, jwk } = await derive(seed);
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const key = await subtle().importKey("jwk", jwk, algorithm, false, ["sign"]);
    return new SigningKey(point, await keyId(point), key);
  }

  /** ECDSA P-256/SHA-256; `r || s`, 64 bytes, s in the lower half. */
  sign(message: Bytes): Promise<Bytes> {
    return sign(this.#key, message);
  }
}

/** Throw `agent.kem-unsupported` for a KEM that only the program opens. */
export function requireSupported(kem: Kem): void {
  if (kem !== DHKEM_P256) throw unsupportedKem(KEM_NAMES[kem]);
}

async function derive(seed: Bytes): Promise<Derived> {
  const { privateKey } = await suite.kem.deriveKeyPair(seed.slice().buffer);
  const { x, y, d } = await exported(privateKey);
  const point = concat(Uint8Array.of(4), coordinate(x), coordinate(y));
  const jwk = { kty: "EC", crv: "P-256", x: x!, y: y!, d: d! };
  return { point, jwk };
}

async function exported(key: CryptoKey): Promise<JsonWebKey> {
  try {
    return await subtle().exportKey("jwk", key);
  } catch (error) {
    throw new TwinlockError(
      "agent.browser",
      "This browser cannot compute the public half of a key from its private half.",
      "Use another browser, such as Chromium, or the agent as a program.",
      error,
    );
  }
}

/** The 32 bytes of a coordinate as JSON Web Keys write it (RFC 7518 section 6.2.1.2). */
function coordinate(text: string | undefined): Bytes {
  const binary = atob((text ?? "").replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
