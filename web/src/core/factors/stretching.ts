/**
 * What was typed, made to bytes and hashed: OpaqueString (RFC 8265 section 4.2), then Argon2id
 * (RFC 9106). Floors and ceilings hold when an enrolment is read, too (R-FACTOR-4).
 */
import { argon2idAsync } from "@noble/hashes/argon2.js";
import { utf8, type Bytes } from "../bytes.ts";
import { takeUint, type Value } from "../cbor.ts";
import { badParameters, badText, SALT_SIZE, type Draw } from "./factor.ts";

export const MIN_MEMORY_KIB = 64 << 10;
export const MIN_ITERATIONS = 3;
const MAX_MEMORY_KIB = 4 << 20;
const MAX_ITERATIONS = 64;
const MAX_LANES = 16;
/** Milliseconds of hashing between two moments in which the page can react. */
const ASYNC_TICK = 20;

/** Argon2id's parameters; memory in KiB. */
export interface Stretching {
  readonly salt: Bytes;
  readonly memory: number;
  readonly iterations: number;
  readonly lanes: number;
}

/** Fresh parameters at the floors: [salt, memory, iterations, lanes]. */
export function newStretching(draw: Draw): Value[] {
  return [draw(SALT_SIZE), MIN_MEMORY_KIB, MIN_ITERATIONS, 1];
}

/** Take [salt, memory, iterations, lanes]. Throws `factor.parameters`. */
export function takeStretching([salt, ...numbers]: readonly (Value | undefined)[]): Stretching {
  const [memory, iterations, lanes] = numbers.map((number) => Number(takeUint(number)));
  const within =
    salt instanceof Uint8Array &&
    salt.length === SALT_SIZE &&
    isWithin(memory, MIN_MEMORY_KIB, MAX_MEMORY_KIB) &&
    isWithin(iterations, MIN_ITERATIONS, MAX_ITERATIONS) &&
    isWithin(lanes, 1, MAX_LANES);
  if (!within) throw badParameters();
  return { salt: salt as Bytes, memory: memory!, iterations: iterations!, lanes: lanes! };
}

function isWithin(value: number | undefined, minimum: number, maximum: number): boolean {
  return value !== undefined && minimum <= value && value <= maximum;
}

/** Argon2id of a text, 32 bytes. Throws `factor.passphrase-invalid`. */
export async function stretch(text: string, by: Stretching): Promise<Bytes> {
  const options = { t: by.iterations, m: by.memory, p: by.lanes, dkLen: 32, asyncTick: ASYNC_TICK };
  return new Uint8Array(await argon2idAsync(opaqueString(text), by.salt, options));
}

/**
 * What the FreeformClass of RFC 8264 section 4.3 never allows. Its contextual rules are not here: a
 * text that breaks them opens no enrolment that the program made.
 */
const DISALLOWED =
  /[\p{Cc}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b]|(?!\p{Join_Control})[\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/**
 * What a browser lets nobody choose: characters that the contextual rules of RFC 5892 appendix A
 * judge, and that the program may refuse to take when the same password is typed there.
 */
const CONTEXTUAL = /[\p{Join_Control}\u00b7\u0375\u05f3\u05f4\u30fb\u0660-\u0669\u06f0-\u06f9]/u;

function opaqueString(text: string): Bytes {
  const mapped = text.replace(/\p{Zs}/gu, " ").normalize("NFC");
  if (mapped === "" || DISALLOWED.test(mapped)) throw badText();
  return utf8(mapped);
}

/** Throw `factor.passphrase-invalid` for a text that the program could refuse to take later. */
export function requireChoosable(text: string): void {
  opaqueString(text);
  if (CONTEXTUAL.test(text)) throw badText("Choose letters, digits and spaces that stand for themselves.");
}
