/**
 * One blinded evaluation, and the check that the token's key was used for it (SPEC 24, R-HARD-1 to
 * R-HARD-5). The proof of the check stands beside the program's twin, core/hardening/evaluation.py.
 *
 * Points are those of @noble/curves. Numbers of JavaScript take a time that depends on their values:
 * docs/limitations.md says what that means.
 */
import { p256_hasher } from "@noble/curves/nist.js";
import { concat, equal, toBigInt, type Bytes } from "../bytes.ts";
import { TwinlockError } from "../errors.ts";
import type { Draw } from "../factors/factor.ts";
import { P256_ORDER } from "../points.ts";

const { Point } = p256_hasher;
type Point = InstanceType<typeof Point>;

const SCALAR_SIZE = 32;
const COORDINATE_SIZE = 32;

/** Two points under way: `sent` goes to the server, the rest stays here and is used once. */
export interface Blinded {
  /** Uncompressed, 65 bytes each. */
  readonly sent: readonly [Bytes, Bytes];
  /**
   * x(kP), 32 bytes, if the answers were made with the k of `hardeningKey` (K, 65 bytes, from the
   * verified directory). Throws `factor.hardening` for any others, however they are wrong.
   */
  accept(hardeningKey: Bytes, answers: readonly [Bytes, Bytes]): Bytes;
}

/** hash_to_curve of RFC 9380 for P256_XMD:SHA-256_SSWU_RO_; 65 bytes uncompressed. */
export function hashToCurve(message: Bytes, tag: Bytes): Bytes {
  return encoded(p256_hasher.hashToCurve(message, { DST: tag }));
}

/** Blind a point (65 bytes) for one evaluation. Draws r, t and s, then the order. */
export function blind(point: Bytes, draw: Draw): Blinded {
  const [r, t, s] = [scalar(draw), scalar(draw), scalar(draw)];
  const p = Point.fromBytes(point);
  const masked = even(p.multiply(t)).add(Point.BASE.multiply(s));
  // T and sG cancel out for one pair of scalars in 2^256.
  if (masked.is0()) throw anotherKey();
  const first = encoded(even(p.multiply(r)));
  const second = encoded(even(masked));
  const isSwapped = draw(1)[0]! % 2 === 1;
  return {
    sent: isSwapped ? [second, first] : [first, second],
    accept(hardeningKey, answers) {
      const [one, other] = isSwapped ? [answers[1], answers[0]] : answers;
      try {
        const unblinded = lift(one).multiply(Point.Fn.inv(r));
        const left = unblinded.multiply(t);
        const right = Point.fromBytes(hardeningKey).multiply(s);
        if (hasX(left.add(right), other) || hasX(left.subtract(right), other)) return xOf(unblinded);
      } catch (error) {
        throw anotherKey(error);
      }
      throw anotherKey();
    },
  };
}

/** From 1 to the order - 1, uniformly: what is outside is drawn again. */
function scalar(draw: Draw): bigint {
  for (;;) {
    const drawn = toBigInt(draw(SCALAR_SIZE));
    if (0n < drawn && drawn < P256_ORDER) return drawn;
  }
}

/** The point with this x-coordinate whose y is even; throws where there is none. */
function lift(x: Bytes): Point {
  if (x.length !== COORDINATE_SIZE) throw new RangeError("a coordinate has 32 bytes");
  return Point.fromBytes(concat(Uint8Array.of(2), x));
}

/** The one of a point and its negative whose y is even. */
function even(point: Point): Point {
  return point.y % 2n === 0n ? point : point.negate();
}

function hasX(point: Point, x: Bytes): boolean {
  return !point.is0() && equal(xOf(point), x);
}

function xOf(point: Point): Bytes {
  return encoded(point).slice(1, 1 + COORDINATE_SIZE);
}

function encoded(point: Point): Bytes {
  return new Uint8Array(point.toBytes(false));
}

function anotherKey(cause?: unknown): TwinlockError {
  return new TwinlockError(
    "factor.hardening",
    "The server's answer was not made with the token's hardening key.",
    "Do not try again and again: tell the operator. Nothing about the password left this computer.",
    cause,
  );
}
