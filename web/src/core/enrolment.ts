/** Enrolments: a member's seed, locked by a set of factors that are ALL needed (SPEC 15). */
import { bigEndian, equal, join, utf8, type Bytes } from "./bytes.ts";
import {
  decodeLabelled,
  takeBytes,
  takeItems,
  takeList,
  takeText,
  type Value,
} from "./cbor.ts";
import { malformed, TwinlockError } from "./errors.ts";
import type { Factor, Place } from "./factors/factor.ts";
import { KemKey, requireSupported, SigningKey } from "./keys.ts";
import { DHKEM_P256, MLKEM768_X25519, type Kem } from "./points.ts";
import { gcmOpen, hkdfExpand, hkdfExtract, hmacKey } from "./primitives.ts";

export const BLOB = "twinlock/v1/enrolment-blob";
export const AAD = "twinlock/v1/enrolment";
export const MAX_FACTORS = 8;
export const ZEROS = new Uint8Array(32);
const MAX_BLOB_SIZE = 8192;

/** A member's keys, unlocked. */
export interface MemberKeys {
  readonly kem: KemKey;
  readonly signing: SigningKey;
  /** Authenticates the agent's own state (HMAC-SHA-256). */
  readonly state: CryptoKey;
}

/** A factor of an enrolment, with its public parameters. */
export interface FactorRow {
  readonly kind: string;
  readonly parameters: readonly Value[];
}

/** An enrolment as it is stored; nothing in it is authentic before it is unlocked. */
export interface Enrolment extends Place {
  readonly kem: Kem;
  readonly factors: readonly FactorRow[];
  readonly nonce: Bytes;
  readonly sealed: Bytes;
  readonly aad: Bytes;
  readonly raw: Bytes;
}

/** Decode a stored enrolment. Throws `format.*`. */
export function decodeEnrolment(raw: Bytes): Enrolment {
  const [aad, nonce, sealed] = decodeLabelled(raw, BLOB, 4, MAX_BLOB_SIZE);
  const blob = { nonce: takeBytes(nonce, 12), sealed: takeBytes(sealed, 80), aad: takeBytes(aad) };
  const [deployment, member, enrolmentId, kem, rows] = decodeLabelled(blob.aad, AAD, 6);
  const factors = takeList(rows, 1, MAX_FACTORS).map(takeFactor);
  if (new Set(factors.map(({ kind }) => kind)).size !== factors.length) {
    throw malformed("it names a factor twice");
  }
  if (kem !== DHKEM_P256 && kem !== MLKEM768_X25519) throw malformed("it names an unknown KEM");
  const place = {
    deploymentId: takeBytes(deployment, 16),
    memberId: takeBytes(member, 16),
    enrolmentId: takeBytes(enrolmentId, 16),
  };
  return { ...place, kem, factors, ...blob, raw };
}

/** The kinds of an enrolment's factors, in order. */
export function kindsOf({ factors }: Enrolment): string[] {
  return factors.map(({ kind }) => kind);
}

/**
 * Unlock a member's keys with all factors of an enrolment (R-FACTOR-1 to R-FACTOR-3).
 *
 * Throws `factor.missing` when a factor is not there, `factor.wrong` when one of them is not the
 * right one, and `agent.kem-unsupported`.
 */
export async function unlock(
  enrolment: Enrolment,
  factors: readonly Factor[],
): Promise<MemberKeys> {
  return memberKeys(await unlockSeed(enrolment, factors), enrolment.kem);
}

/** Unlock the 32-byte seed itself, for a new enrolment of it. Throws like `unlock`. */
export async function unlockSeed(
  enrolment: Enrolment,
  factors: readonly Factor[],
): Promise<Bytes> {
  const kinds = kindsOf(enrolment);
  if (!sameKinds(kinds, factors)) {
    throw new TwinlockError(
      "factor.missing",
      `This enrolment opens with ${kinds.join(" and ")} together.`,
      "Give exactly these, or use another enrolment.",
    );
  }
  const key = await enrolmentKey(enrolment.factors, factors, enrolment);
  const { nonce, sealed, aad } = enrolment;
  const plaintext = await gcmOpen(key, nonce, sealed, aad).catch((error: unknown) => {
    throw wrongFactor(error);
  });
  if (!equal(plaintext.subarray(0, 32), ZEROS)) throw wrongFactor();
  requireSupported(enrolment.kem);
  return plaintext.slice(32);
}

/** What an enrolment gave, and which one it was. */
export interface Opened {
  readonly seed: Bytes;
  readonly enrolment: Enrolment;
}

/** Unlock the first enrolment that these factors open. Throws like `unlock`. */
export async function unlockAny(
  enrolments: readonly Enrolment[],
  factors: readonly Factor[],
): Promise<Opened> {
  const fitting = enrolments.filter((enrolment) => sameKinds(kindsOf(enrolment), factors));
  const tried = fitting.length > 0 ? fitting : enrolments.slice(0, 1);
  for (const enrolment of tried.slice(0, -1)) {
    try {
      return { seed: await unlockSeed(enrolment, factors), enrolment };
    } catch (error) {
      if (!(error instanceof TwinlockError) || error.code !== "factor.wrong") throw error;
    }
  }
  const last = tried.at(-1)!;
  return { seed: await unlockSeed(last, factors), enrolment: last };
}

/** Derive a member's keys from its seed (R-FACTOR-3). */
export async function memberKeys(seed: Bytes, kem: Kem): Promise<MemberKeys> {
  const [kemSeed, signingSeed, stateKey] = await Promise.all(
    ["member-kem", "member-sig", "agent-state"].map((use) =>
      hkdfExpand(seed, utf8(`twinlock/v1/${use}`)),
    ),
  );
  return {
    kem: await KemKey.fromSeed(kem, kemSeed!),
    signing: await SigningKey.fromSeed(signingSeed!),
    state: await hmacKey(stateKey!),
  };
}

/** The key of an enrolment at `place`, from all of its factors, in the order of `rows`. */
export async function enrolmentKey(
  rows: readonly FactorRow[],
  factors: readonly Factor[],
  place: Place,
): Promise<Bytes> {
  const material: Bytes[] = [];
  for (const { kind, parameters } of rows) {
    const output = await factors.find((factor) => factor.kind === kind)!.output(parameters, place);
    material.push(bigEndian(output.length, 2), output);
  }
  return hkdfExpand(await hkdfExtract(join(material)), utf8("twinlock/v1/enrol"));
}

function sameKinds(kinds: readonly string[], factors: readonly Factor[]): boolean {
  const given = new Set(factors.map(({ kind }) => kind));
  return given.size === kinds.length && kinds.every((kind) => given.has(kind));
}

function takeFactor(value: Value): { kind: string; parameters: Value[] } {
  const [kind, parameters] = takeItems(value, 2);
  return { kind: takeText(kind), parameters: takeList(parameters, 0, 16) };
}

function wrongFactor(cause?: unknown): TwinlockError {
  return new TwinlockError(
    "factor.wrong",
    "These factors do not open this enrolment.",
    "Check the passphrase and that it is the right key file, then try again.",
    cause,
  );
}
