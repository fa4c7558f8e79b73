/**
 * SCRAM-SHA-256's ClientKey as a factor (SPEC 27, R-SCRAM-4). The server that ends the exchange sees
 * it, so that another factor has to keep that server out.
 */
import { equal, type Bytes } from "../bytes.ts";
import { encode, takeBytes, takeItems, takeUint, type Value } from "../cbor.ts";
import { hkdfExtract, sha256 } from "../primitives.ts";
import { MAX_ITERATIONS, MAX_SALT, MIN_ITERATIONS, MIN_SALT, scramKeys, type ScramKeys } from "../scram/keys.ts";
import { badParameters, idsOf, type EnrollableFactor } from "./factor.ts";

const OUTPUT = "twinlock/v1/scram-out";

/** The salt and count of an account's verifier. */
export interface ScramParameters {
  readonly salt: Bytes;
  readonly iterations: number;
}

/** A SCRAM password, whose keys are derived once for signing in and unlocking. */
export interface ScramFactor extends EnrollableFactor {
  /** Throws `factor.passphrase-invalid`. */
  keys(parameters: ScramParameters): Promise<ScramKeys>;
}

/** The password of a SCRAM account; `chosen` is what a new enrolment pins: what its server named. */
export function scramFactor(password: string, chosen?: ScramParameters): ScramFactor {
  let derived: (ScramParameters & { readonly keys: Promise<ScramKeys> }) | null = null;
  const keys = ({ salt, iterations }: ScramParameters): Promise<ScramKeys> => {
    if (derived === null || derived.iterations !== iterations || !equal(derived.salt, salt)) {
      derived = { salt, iterations, keys: scramKeys(password, salt, iterations) };
    }
    return derived.keys;
  };
  return {
    kind: "scram",
    keys,
    newParameters: async () => {
      const parameters = chosen === undefined ? [] : [chosen.salt, chosen.iterations];
      takeScramParameters(parameters);
      return parameters;
    },
    output: async (parameters, place) => {
      const { clientKey } = await keys(takeScramParameters(parameters));
      return hkdfExtract(clientKey, await sha256(encode([OUTPUT, ...idsOf(place)])));
    },
  };
}

/** Take [salt, iterations]. Throws `factor.parameters` or `format.malformed`. */
export function takeScramParameters(parameters: readonly Value[]): ScramParameters {
  const [first, second] = takeItems(parameters, 2);
  const [salt, iterations] = [takeBytes(first), takeUint(second)];
  const within =
    MIN_SALT <= salt.length && salt.length <= MAX_SALT && MIN_ITERATIONS <= iterations && iterations <= MAX_ITERATIONS;
  if (!within) throw badParameters();
  return { salt, iterations: Number(iterations) };
}
