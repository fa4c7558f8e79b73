/** Making an enrolment: a member's seed, locked by new parameters of factors (SPEC 15). */
import { concat, type Bytes } from "./bytes.ts";
import { encode } from "./cbor.ts";
import { AAD, BLOB, decodeEnrolment, enrolmentKey, MAX_FACTORS, ZEROS, type Enrolment, type FactorRow } from "./enrolment.ts";
import { TwinlockError } from "./errors.ts";
import { FULL_STRENGTH, type Draw, type EnrollableFactor } from "./factors/factor.ts";
import type { Kem } from "./points.ts";
import { gcmSeal, random } from "./primitives.ts";

/** Whose seed is locked. */
export interface Seeded {
  readonly seed: Bytes;
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly kem: Kem;
}

/**
 * Lock a member's seed with all of `factors`, 1 to 8 of different kinds (R-FACTOR-1).
 *
 * Throws `factor.set`, `factor.scram-alone`, and what the factors throw.
 */
export async function enrol(
  { seed, deploymentId, memberId, kem }: Seeded,
  factors: readonly EnrollableFactor[],
  draw: Draw = random,
): Promise<Enrolment> {
  const kinds = factors.map(({ kind }) => kind);
  if (kinds.length < 1 || kinds.length > MAX_FACTORS || new Set(kinds).size !== kinds.length) {
    throw new TwinlockError(
      "factor.set",
      "An enrolment needs 1 to 8 factors of different kinds.",
      "For a second way in, make another enrolment.",
    );
  }
  if (kinds.includes("scram") && !kinds.some((kind) => FULL_STRENGTH.has(kind))) {
    throw new TwinlockError(
      "factor.scram-alone",
      "The server learns at each SCRAM login what this enrolment would open with.",
      "Add a device key, recovery code, smart card or passkey to it.",
    );
  }
  const place = { deploymentId, memberId, enrolmentId: draw(16) };
  const rows: FactorRow[] = [];
  for (const factor of factors) rows.push({ kind: factor.kind, parameters: await factor.newParameters(draw, place) });
  const shown = rows.map(({ kind, parameters }) => [kind, parameters]);
  const aad = encode([AAD, deploymentId, memberId, place.enrolmentId, kem, shown]);
  const key = await enrolmentKey(rows, factors, place);
  const nonce = draw(12);
  return decodeEnrolment(encode([BLOB, aad, nonce, await gcmSeal(key, nonce, concat(ZEROS, seed), aad)]));
}
