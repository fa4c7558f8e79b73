/** Factors: what a member knows or has. One file per factor behind two small interfaces. */
import type { Bytes } from "../bytes.ts";
import type { Value } from "../cbor.ts";
import { TwinlockError } from "../errors.ts";

/** Kinds with at least 128 bits that no person chose. */
export const FULL_STRENGTH: ReadonlySet<string> = new Set(["device-key", "recovery-code", "smart-card", "passkey"]);

export const SALT_SIZE = 16;

/** Gives so many uniformly random bytes. */
export type Draw = (size: number) => Bytes;

/** The enrolment that a factor's output is for: three ids of 16 bytes. */
export interface Place {
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly enrolmentId: Bytes;
}

/** One factor while unlocking: public parameters in, 32 secret bytes out. */
export interface Factor {
  /** The stable name in enrolments. */
  readonly kind: string;
  /** Throws `factor.parameters` outside the floors and ceilings that are compiled in. */
  output(parameters: readonly Value[], place: Place): Promise<Bytes>;
}

/** A factor that a new enrolment can be made with. */
export interface EnrollableFactor extends Factor {
  /** Choose fresh parameters, such as a salt. */
  newParameters(draw: Draw, place: Place): Promise<readonly Value[]>;
}

/** The ids of a place, as labels bind them. */
export function idsOf({ deploymentId, memberId, enrolmentId }: Place): Value[] {
  return [deploymentId, memberId, enrolmentId];
}

/** Parameters that this implementation does not accept; weaker ones are a sign of an attack. */
export function badParameters(): TwinlockError {
  return new TwinlockError(
    "factor.parameters",
    "This enrolment asks for a passphrase hash outside the allowed limits.",
    "Weakened parameters are a sign of an attack. Compare with a backup.",
  );
}

/** What neither OpaqueString nor SASLprep lets through; the text is not in it. */
export function badText(hint = "Choose several words; spaces are welcome."): TwinlockError {
  return new TwinlockError(
    "factor.passphrase-invalid",
    "A passphrase is a non-empty text without control characters.",
    hint,
  );
}
