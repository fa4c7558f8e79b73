/**
 * A recovery code: 128 random bits on paper, in seven groups of five characters (SPEC 15,
 * R-RECOVERY-1 to R-RECOVERY-4). Each group ends in a check character of its own.
 */
import { bigEndian, concat, toBigInt, utf8, type Bytes } from "../bytes.ts";
import { takeBytes, takeItems } from "../cbor.ts";
import { TwinlockError } from "../errors.ts";
import { hmac, sha256 } from "../primitives.ts";
import { SALT_SIZE, type Draw, type EnrollableFactor } from "./factor.ts";

/** Crockford's: without I, L, O and U. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_SIZE = 16;
const GROUPS = 7;
const GROUP_SIZE = 5;
const MAX_TEXT = 512;
const LABEL = utf8("twinlock/v1/recovery-code");
const CHECK = utf8("twinlock/v1/recovery-check");
const CHECK_BITS = 12n;
/** x^5 + x^2 + 1: a character is an element of GF(32). */
const MODULUS = 0b100101;
/** White space, any dash (Unicode Pd), what joins words (Pc), and full stops. */
const SEPARATOR = /[\s\x1c-\x1f\x85\p{Pd}\p{Pc}.]+/gu;

/** A recovery code as it was typed. It is read when it is needed. */
export function recoveryCodeFactor(text: string): EnrollableFactor {
  return {
    kind: "recovery-code",
    newParameters: async (draw) => [draw(SALT_SIZE)],
    output: async (parameters) => {
      const [salt] = takeItems(parameters, 1);
      return hmac(await readRecoveryCode(text), concat(LABEL, takeBytes(salt, SALT_SIZE)));
    },
  };
}

/** Draw a code, and return it as it is printed: `XXXXX-XXXXX-...`, seven groups. */
export async function newRecoveryCode(draw: Draw): Promise<string> {
  const code = draw(CODE_SIZE);
  const number = (toBigInt(code) << CHECK_BITS) | (await checkOf(code));
  const groups: string[] = [];
  for (let at = 0; at < GROUPS; at++) {
    const digits = Array.from({ length: GROUP_SIZE - 1 }, (_, index) => {
      const place = (GROUPS - at) * (GROUP_SIZE - 1) - 1 - index;
      return Number((number >> BigInt(5 * place)) & 31n);
    });
    // The check digit has the weight 1, so that it is what the others lack.
    groups.push([...digits, weighed(digits) ^ (at + 1)].map((digit) => ALPHABET[digit]!).join(""));
  }
  return groups.join("-");
}

/**
 * Read a code as somebody typed it; returns its 16 bytes. Case, white space and dashes do not
 * matter; O is read as 0, I and L as 1.
 *
 * Throws `factor.recovery-mistyped`, which names the groups to look at and quotes nothing of them.
 */
export async function readRecoveryCode(text: string): Promise<Bytes> {
  const groups = groupsOf(text).map(digitsOf);
  const wrong = groups.flatMap((group, at) => (fits(group, at + 1) ? [] : [at + 1]));
  if (wrong.length > 0) throw mistyped(named(wrong));
  let number = 0n;
  for (const group of groups) {
    for (const digit of group.slice(0, -1)) number = (number << 5n) | BigInt(digit);
  }
  const code = bigEndian(number >> CHECK_BITS, CODE_SIZE);
  const given = number & ((1n << CHECK_BITS) - 1n);
  if ((await checkOf(code)) !== given) throw mistyped("Every group fits by itself, but not with the others");
  return code;
}

/** Split by what separates; characters that are grouped otherwise are put together again. */
function groupsOf(text: string): string[] {
  if (text.length > MAX_TEXT) throw mistyped(`It has ${text.length} characters`);
  const groups = text.split(SEPARATOR).filter((group) => group !== "");
  const characters = [...groups.join("")];
  if (characters.length === GROUPS * GROUP_SIZE) {
    return Array.from({ length: GROUPS }, (_, at) =>
      characters.slice(at * GROUP_SIZE, (at + 1) * GROUP_SIZE).join(""),
    );
  }
  if (groups.length !== GROUPS) throw mistyped(`It has ${characters.length} characters of ${GROUPS * GROUP_SIZE}`);
  throw mistyped(named(groups.flatMap((group, at) => ([...group].length === GROUP_SIZE ? [] : [at + 1]))));
}

/** The values of a group's characters, -1 for one that no code has. */
function digitsOf(group: string): number[] {
  return [...group].map((character) => {
    // Some letters beyond ASCII have an ASCII capital; they are no misread digits.
    const capital = character.charCodeAt(0) < 128 ? character.toUpperCase() : character;
    return ALPHABET.indexOf(capital === "O" ? "0" : capital === "I" || capital === "L" ? "1" : capital);
  });
}

function fits(digits: readonly number[], at: number): boolean {
  return digits.length === GROUP_SIZE && !digits.includes(-1) && (weighed(digits.slice(0, -1)) ^ digits[4]!) === at;
}

/** Sum of x^i times digit i, i from 1, in GF(32): every slip of one digit, or exchange, changes it. */
function weighed(digits: readonly number[]): number {
  let total = 0;
  for (const digit of [...digits].reverse()) {
    total = (total ^ digit) << 1;
    if (total > 31) total ^= MODULUS;
  }
  return total;
}

async function checkOf(code: Bytes): Promise<bigint> {
  return toBigInt((await sha256(CHECK, code)).subarray(0, 2)) >> (16n - CHECK_BITS);
}

function named(groups: readonly number[]): string {
  const names = groups.length < 3 ? groups.join(" and ") : groups.join(", ");
  return groups.length === 1 ? `Group ${names} is not as printed` : `Groups ${names} are not as printed`;
}

function mistyped(where: string): TwinlockError {
  return new TwinlockError(
    "factor.recovery-mistyped",
    `This is not a recovery code. ${where}.`,
    "Compare what you typed with the paper: seven groups of five characters.",
  );
}
