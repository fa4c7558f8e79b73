/** Factors: what a member knows or has (R-FACTOR-4, R-FACTOR-5). */
import { argon2idAsync } from "@noble/hashes/argon2.js";
import { concat, utf8, type Bytes } from "./bytes.ts";
import { takeBytes, takeItems, takeUint, type Value } from "./cbor.ts";
import { TwinlockError } from "./errors.ts";
import { hmac } from "./primitives.ts";

const DEVICE_KEY = utf8("twinlock/v1/device-key");
const SALT_SIZE = 16;
const MIN_MEMORY_KIB = 64 << 10;
const MAX_MEMORY_KIB = 4 << 20;
const MIN_ITERATIONS = 3;
const MAX_ITERATIONS = 64;
const MAX_LANES = 16;
/** Milliseconds of hashing between two moments in which the page can react. */
const ASYNC_TICK = 20;

/** One factor while unlocking: public parameters in, 32 secret bytes out. */
export interface Factor {
  readonly kind: string;
  output(parameters: readonly Value[]): Promise<Bytes>;
}

/** A device key of 32 bytes. */
export function deviceKeyFactor(key: Bytes): Factor {
  return {
    kind: "device-key",
    output: async (parameters) => {
      const [salt] = takeItems(parameters, 1);
      return hmac(key, concat(DEVICE_KEY, takeBytes(salt, SALT_SIZE)));
    },
  };
}

/** A passphrase: OpaqueString (RFC 8265 section 4.2), then Argon2id (RFC 9106). */
export function passphraseFactor(passphrase: string): Factor {
  return {
    kind: "passphrase",
    output: async (parameters) => {
      const { salt, memory, iterations, lanes } = takePassphraseParameters(parameters);
      const options = { t: iterations, m: memory, p: lanes, dkLen: 32, asyncTick: ASYNC_TICK };
      return new Uint8Array(await argon2idAsync(opaqueString(passphrase), salt, options));
    },
  };
}

/** Throws `factor.parameters` outside the floors and ceilings that are compiled in here. */
function takePassphraseParameters(parameters: readonly Value[]) {
  const [salt, ...numbers] = takeItems(parameters, 4);
  const [memory, iterations, lanes] = numbers.map((number) => Number(takeUint(number)));
  const within =
    salt instanceof Uint8Array &&
    salt.length === SALT_SIZE &&
    isWithin(memory, MIN_MEMORY_KIB, MAX_MEMORY_KIB) &&
    isWithin(iterations, MIN_ITERATIONS, MAX_ITERATIONS) &&
    isWithin(lanes, 1, MAX_LANES);
  if (!within) {
    throw new TwinlockError(
      "factor.parameters",
      "This enrolment asks for a passphrase hash outside the allowed limits.",
      "Weakened parameters are a sign of an attack. Compare with a backup.",
    );
  }
  return { salt: salt as Bytes, memory: memory!, iterations: iterations!, lanes: lanes! };
}

function isWithin(value: number | undefined, minimum: number, maximum: number): boolean {
  return value !== undefined && minimum <= value && value <= maximum;
}

/**
 * What the FreeformClass of RFC 8264 section 4.3 never allows. Its contextual rules are not here:
 * whoever enrolled a passphrase has applied them, and one that breaks them opens no enrolment.
 */
const DISALLOWED =
  /[\p{Cc}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b]|(?!\p{Join_Control})[\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/** UTF-8 of the passphrase after OpaqueString. Throws `factor.passphrase-invalid`. */
function opaqueString(passphrase: string): Bytes {
  const mapped = passphrase.replace(/\p{Zs}/gu, " ").normalize("NFC");
  if (mapped === "" || DISALLOWED.test(mapped)) {
    throw new TwinlockError(
      "factor.passphrase-invalid",
      "A passphrase is a non-empty text without control characters.",
      "Choose several words; spaces are welcome.",
    );
  }
  return utf8(mapped);
}
