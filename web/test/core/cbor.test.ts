// The strict decoder beyond the vectors: generated values, damaged bytes, caps, and another encoder.

import assert from "node:assert/strict";
import { test } from "node:test";
import { encode as encodeWithCborg } from "cborg";
import { equal, fromHex, hex } from "../../src/core/bytes.ts";
import { decode, decodeLabelled, encode, takeNumber, takeText, takeUint, type Value } from "../../src/core/cbor.ts";
import { TwinlockError } from "../../src/core/errors.ts";

/** A small generator with a fixed seed (mulberry32), so that a failure can be seen again. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const EDGES = [0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
const TEXTS = ["", "a", "\u00fc", "\ufeff", "\u{1f511}", "x".repeat(300)];

function anyValue(next: (below: number) => number, depth: number): Value {
  switch (next(depth < 5 ? 7 : 6)) {
    case 0:
      return EDGES[next(EDGES.length)]!;
    case 1:
      return -1 - EDGES[next(EDGES.length - 1)]!;
    case 2:
      return (1n << 63n) + BigInt(next(1000));
    case 3:
      return Uint8Array.from({ length: next(40) * next(20) }, () => next(256));
    case 4:
      return TEXTS[next(TEXTS.length)]!;
    case 5:
      return [null, true, false][next(3)]!;
    default:
      return Array.from({ length: next(6) }, () => anyValue(next, depth + 1));
  }
}

function refused(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof TwinlockError, String(error));
    return error.code;
  }
  return "accepted";
}

/** R-CBOR-1, R-CBOR-2 */
test("what is encoded is decoded again, and another encoder gives the same bytes", () => {
  const next = numbers(1);
  for (let count = 0; count < 500; count++) {
    const value = [anyValue(next, 1)];
    const bytes = encode(value);
    assert.deepEqual(decode(bytes), value);
    assert.equal(hex(bytes), hex(encodeWithCborg(value)));
  }
});

/** R-CBOR-2 */
test("a changed byte is refused or another value: no two encodings stand for one", () => {
  const next = numbers(2);
  for (let count = 0; count < 3000; count++) {
    const bytes = encode([anyValue(next, 1), anyValue(next, 1)]);
    bytes[next(bytes.length)]! ^= 1 << next(8);
    const code = refused(() => assert.ok(equal(encode(decode(bytes)), bytes)));
    assert.ok(code === "accepted" || code === "format.malformed", code);
  }
});

/** R-CBOR-4 */
test("a message over its cap is refused before it is read, one at the cap is read", () => {
  const message = encode([new Uint8Array(95)]);
  assert.equal(refused(() => decode(message, message.length)), "accepted");
  assert.equal(refused(() => decode(message, message.length - 1)), "format.too-large");
  assert.equal(refused(() => decode(new Uint8Array((1 << 20) + 1))), "format.too-large");
});

/** R-CBOR-4 */
test("arrays are counted before they are made", () => {
  const items = (count: number) => encode(new Array<Value>(count).fill(0));
  assert.equal(refused(() => decode(items(65_536))), "accepted");
  assert.equal(refused(() => decode(items(65_537))), "format.malformed");
  const nested = `82${"9a00010000".repeat(1)}${"00".repeat(65_536)}81`;
  assert.equal(refused(() => decode(fromHex(nested))), "format.malformed");
});

test("byte strings of a message are copies", () => {
  const message = encode([new Uint8Array(4)]);
  const [taken] = decode(message) as [Uint8Array];
  message.fill(255);
  assert.equal(hex(taken), "00000000");
});

/** R-CBOR-5, R-CBOR-6 */
test("labels, lengths, text and numbers are what they must be", () => {
  const message = encode(["twinlock/v1/x", 1]);
  assert.deepEqual(decodeLabelled(message, "twinlock/v1/x", 2), [1]);
  for (const [label, length, code] of [
    ["twinlock/v1/y", 2, "format.version"],
    ["twinlock/v1/y", 9, "format.version"],
    ["twinlock/v1/x", 3, "format.malformed"],
  ] as const) {
    assert.equal(refused(() => decodeLabelled(message, label, length)), code);
  }
  assert.equal(refused(() => decodeLabelled(encode([]), "twinlock/v1/x", 2)), "format.version");
  assert.equal(refused(() => takeText("u\u0308")), "format.malformed");
  assert.equal(refused(() => takeUint(true)), "format.malformed");
  assert.equal(refused(() => takeUint(-1)), "format.malformed");
  assert.equal(refused(() => takeUint(2n ** 63n)), "format.malformed");
  assert.equal(takeUint(2n ** 63n - 1n), 2n ** 63n - 1n);
  assert.equal(refused(() => takeNumber(2n ** 53n)), "format.malformed");
});
