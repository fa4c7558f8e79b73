/**
 * A password, hardened by the token (SPEC 24, R-FACTOR-8): nothing that is stored tests a guess, and
 * the server learns nothing about it.
 */
import { concat, equal, utf8, type Bytes } from "../bytes.ts";
import { encode, takeBytes, takeItems, type Value } from "../cbor.ts";
import { blind, hashToCurve } from "../hardening/evaluation.ts";
import { hkdfExtract, random, sha256 } from "../primitives.ts";
import { idsOf, type Draw, type EnrollableFactor, type Place } from "./factor.ts";
import { newStretching, requireChoosable, stretch, takeStretching } from "./stretching.ts";

const TAG = utf8("TWINLOCK-V1-PW-P256_XMD:SHA-256_SSWU_RO_");
const POINT = "twinlock/v1/pw";
const OUTPUT = "twinlock/v1/pw-out";
const KID_SIZE = 16;

/** How a password reaches the token's hardening key. */
export interface Hardening {
  /** The id of the hardening key for a new enrolment, 16 bytes. */
  offer(): Promise<Bytes>;
  /**
   * The 65-byte point of a hardening key, from the verified directory of the pinned token and from
   * nowhere else (R-HARD-6).
   */
  pinned(kid: Bytes): Promise<Bytes>;
  /** x-coordinates of the key times both points, in their order; the server counts the attempt. */
  evaluate(kid: Bytes, first: Bytes, second: Bytes): Promise<readonly [Bytes, Bytes]>;
}

/**
 * A password. What was hardened last is kept, so that unlocking and signing in cost one evaluation. Its
 * output throws `factor.parameters`, `factor.passphrase-invalid`, `factor.hardening`,
 * and whatever `hardening` throws.
 */
export function passwordFactor(password: string, hardening: Hardening, draw: Draw = random): EnrollableFactor {
  let last: { readonly of: Bytes; readonly output: Promise<Bytes> } | null = null;
  const harden = async (parameters: readonly Value[], place: Place): Promise<Bytes> => {
    const [first, ...rest] = takeItems(parameters, 5);
    const kid = takeBytes(first, KID_SIZE);
    const by = takeStretching(rest);
    const hardeningKey = await hardening.pinned(kid);
    const stretched = await stretch(password, by);
    const blinded = blind(passwordPoint(place, kid, stretched), draw);
    const x = blinded.accept(hardeningKey, await hardening.evaluate(kid, ...blinded.sent));
    return passwordOutput(place, { kid, hardeningKey }, x, stretched);
  };
  return {
    kind: "password",
    newParameters: async (drawNew) => {
      requireChoosable(password);
      return [await hardening.offer(), ...newStretching(drawNew)];
    },
    output: (parameters, place) => {
      const of = encode([...idsOf(place), parameters]);
      if (last === null || !equal(last.of, of)) last = { of, output: harden(parameters, place) };
      return last.output;
    },
  };
}

/** The point that stands for a password in one enrolment and under one key; 65 bytes (R-HARD-1). */
export function passwordPoint(place: Place, kid: Bytes, stretched: Bytes): Bytes {
  return hashToCurve(encode([POINT, ...idsOf(place), kid, stretched]), TAG);
}

/** The factor's 32 bytes; `x` is x(kP) (R-HARD-3). */
export async function passwordOutput(
  place: Place,
  by: { readonly kid: Bytes; readonly hardeningKey: Bytes },
  x: Bytes,
  stretched: Bytes,
): Promise<Bytes> {
  const salt = await sha256(encode([OUTPUT, ...idsOf(place), by.kid, by.hardeningKey]));
  return hkdfExtract(concat(x, stretched), salt);
}
