/**
 * A passkey: the pseudo-random function of a WebAuthn credential (SPEC 29). The browser evaluates it,
 * which takes a page; here is what its answer becomes.
 */
import { equal, type Bytes } from "../bytes.ts";
import { encode, takeBytes, takeItems, takeText, type Value } from "../cbor.ts";
import { TwinlockError } from "../errors.ts";
import { hkdfExtract, sha256 } from "../primitives.ts";
import { idsOf, type EnrollableFactor } from "./factor.ts";

export const PRF_SALT_SIZE = 32;
const PRF_SIZE = 32;
const MIN_ID_SIZE = 16;
const MAX_ID_SIZE = 1023;
const OUTPUT = "twinlock/v1/passkey-out";
/** A domain name as browsers write one; no address, since its last label is no number. */
const DOMAIN =
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?![0-9]+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Which credential an enrolment names, and with what its PRF is evaluated. */
export interface PasskeyParameters {
  readonly rpId: string;
  readonly credentialId: Bytes;
  readonly salt: Bytes;
}

/** What an authenticator answered, after it had verified the user. */
export interface PasskeyAnswer extends PasskeyParameters {
  readonly output: Bytes;
}

/** A passkey that was asked. It opens, and makes, enrolments with exactly these parameters. */
export function passkeyFactor({ rpId, credentialId, salt, output }: PasskeyAnswer): EnrollableFactor {
  return {
    kind: "passkey",
    newParameters: async () => [rpId, credentialId, salt],
    output: async (parameters, place) => {
      const asked = takePasskeyParameters(parameters);
      const isThis = asked.rpId === rpId && equal(asked.credentialId, credentialId) && equal(asked.salt, salt);
      if (!isThis) {
        throw new TwinlockError(
          "passkey.other-credential",
          "Another passkey answered than the one that this enrolment names.",
          "Choose the passkey that you enrolled, or use another way in.",
        );
      }
      if (output.length !== PRF_SIZE) {
        throw new TwinlockError(
          "passkey.answer-wrong",
          `The passkey answered with ${output.length} bytes instead of ${PRF_SIZE}.`,
          "Use another authenticator, or another enrolment.",
        );
      }
      return hkdfExtract(output, await sha256(encode([OUTPUT, ...idsOf(place), rpId, credentialId])));
    },
  };
}

/** Take [rp_id, credential_id, salt] (R-PASSKEY-3). Throws `factor.parameters`. */
export function takePasskeyParameters(parameters: readonly Value[]): PasskeyParameters {
  try {
    const [rp, id, salt] = takeItems(parameters, 3);
    const rpId = takeText(rp);
    const credentialId = takeBytes(id);
    const { length } = credentialId;
    if (DOMAIN.test(rpId) && MIN_ID_SIZE <= length && length <= MAX_ID_SIZE) {
      return { rpId, credentialId, salt: takeBytes(salt, PRF_SALT_SIZE) };
    }
  } catch (error) {
    throw outside(error);
  }
  throw outside();
}

function outside(cause?: unknown): TwinlockError {
  return new TwinlockError(
    "factor.parameters",
    "This enrolment asks for a passkey that none can be.",
    "Changed parameters are a sign of an attack. Compare with a backup.",
    cause,
  );
}
