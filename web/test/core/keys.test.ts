// Keys: what is refused before anything is sealed to it or believed because of it.

import "./webcrypto.ts";
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { copy, hex, toBigInt } from "../../src/core/bytes.ts";
import { TwinlockError } from "../../src/core/errors.ts";
import { KemKey, SigningKey } from "../../src/core/keys.ts";
import { DHKEM_P256, isP256Point, MLKEM768_X25519, P256_ORDER, requireKemPublic } from "../../src/core/points.ts";
import { p256PointOf, random, rsaPublicKey, sha256, verify } from "../../src/core/primitives.ts";

function code(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as TwinlockError).code;
  }
  return "accepted";
}

/** R-SIG-1 */
test("every signature has s in the lower half, and verifies", async () => {
  const key = await SigningKey.fromSeed(random(32));
  const message = random(32);
  for (let count = 0; count < 40; count++) {
    const signature = await key.sign(message);
    assert.ok(toBigInt(signature.subarray(32)) <= P256_ORDER / 2n);
    await verify(key.public, message, signature);
  }
});

/** R-KEY-5 */
test("a public key is 65 bytes of a point on the curve", async () => {
  const key = await KemKey.fromSeed(DHKEM_P256, random(32));
  const point = key.public;
  assert.ok(isP256Point(point));
  const compressed = Uint8Array.of(2 + (point[64]! & 1), ...point.slice(1, 33));
  const hybrid = Uint8Array.of(6 + (point[64]! & 1), ...point.slice(1));
  const off = copy(point);
  off[64]! ^= 1;
  const large = copy(point);
  large.fill(255, 1, 33);
  for (const bad of [compressed, hybrid, off, large, new Uint8Array(65), point.slice(0, 64), new Uint8Array(0)]) {
    assert.ok(!isP256Point(bad), hex(bad));
    assert.equal(code(() => requireKemPublic(DHKEM_P256, bad)), "key.malformed");
  }
});

/** R-KEY-5 */
test("an encapsulation key has numbers below 3329 only", () => {
  const key = new Uint8Array(1216);
  assert.equal(code(() => requireKemPublic(MLKEM768_X25519, key)), "accepted");
  key.set([0x00, 0x0d, 0x00], 0);
  assert.equal(code(() => requireKemPublic(MLKEM768_X25519, key)), "accepted");
  for (const [bytes, at] of [
    [[0x01, 0x0d, 0x00], 0],
    [[0x00, 0x10, 0xd0], 0],
    [[0xff, 0x0f, 0x00], 1149],
  ] as const) {
    const bad = new Uint8Array(1216);
    bad.set(bytes, at);
    assert.equal(code(() => requireKemPublic(MLKEM768_X25519, bad)), "key.malformed", String(at));
  }
  assert.equal(code(() => requireKemPublic(MLKEM768_X25519, key.slice(1))), "key.malformed");
});

/** R-KEY-7 */
test("keys of the token are RSA of 2048 bits and more with the usual exponent, or P-256", async () => {
  const spki = ({ publicKey }: { publicKey: KeyObject }) =>
    copy(publicKey.export({ type: "spki", format: "der" }));
  const rsa = (modulusLength: number, publicExponent = 65537) =>
    spki(generateKeyPairSync("rsa", { modulusLength, publicExponent }));
  const ec = (namedCurve: string) => spki(generateKeyPairSync("ec", { namedCurve }));
  const malformed = { code: "key.malformed" };
  const good = rsa(2048);
  await rsaPublicKey(good, "sha256");
  await rsaPublicKey(good, "sha1");
  for (const bad of [rsa(1024), rsa(2048, 3), ec("P-256"), good.slice(0, -1), new Uint8Array(0)]) {
    await assert.rejects(rsaPublicKey(bad, "sha256"), malformed);
  }
  assert.ok(isP256Point(await p256PointOf(ec("P-256"))));
  for (const bad of [ec("P-384"), good, new Uint8Array(91)]) {
    await assert.rejects(p256PointOf(bad), malformed);
  }
});

/** R-KEY-4 */
test("a key cannot be read back by a script", async () => {
  const subtle = globalThis.crypto.subtle as any;
  const exported: boolean[] = [];
  const original = subtle.importKey.bind(subtle);
  subtle.importKey = async (...given: unknown[]) => {
    const key: CryptoKey = await original(...given);
    if (key.type === "private" && given[0] === "jwk") exported.push(key.extractable);
    return key;
  };
  try {
    const seed = await sha256(random(32));
    await Promise.all([KemKey.fromSeed(DHKEM_P256, seed), SigningKey.fromSeed(seed)]);
  } finally {
    subtle.importKey = original;
  }
  assert.deepEqual(exported, [false, false]);
});
