/** Statements of the token's identity key: its directory, and transport keys (SPEC Statements). */
import { equal, type Bytes } from "./bytes.ts";
import { decodeLabelled, takeBytes, takeText, takeUint, type Uint, type Value } from "./cbor.ts";
import { malformed, notAuthentic, TwinlockError } from "./errors.ts";
import { p256PointOf, rsaPublicKey, sha256, verify, type OaepHash } from "./primitives.ts";

/** Seconds. A transport key serves at most two hours; clocks may differ by two minutes. */
export const MAX_TRANSPORT_LIFE = 2 * 3600;
export const CLOCK_SKEW = 120;

const TRANSPORT = "twinlock/v1/transport";
const TOKEN_KEY = "twinlock/v1/token-key";
const MAX_STATEMENT_SIZE = 4096;
const TYPES = new Set(["identity", "log", "audit", "hardening", "verifier", "wrapping/1", "wrapping/2", "wrapping/3"]);

/** A statement as it is sent: the signed bytes and the identity key's signature. */
export interface Statement {
  readonly raw: Bytes;
  readonly signature: Bytes;
}

/** A short-lived RSA key of the token; `digest` is the SHA-256 of its SubjectPublicKeyInfo. */
export interface TransportKey {
  readonly kid: Bytes;
  readonly digest: Bytes;
  readonly key: CryptoKey;
}

/** What the agent knows by itself when it looks at a transport key. */
export interface TransportCheck {
  readonly identity: Bytes;
  readonly fingerprint: Bytes;
  readonly deploymentId: Bytes;
  readonly agentNonce: Bytes;
  readonly now: number;
}

/**
 * Check a transport key: pinned identity, own nonce, lifetime, key strength (R-STMT-2, R-STMT-3).
 *
 * Throws `transport.identity`, `transport.nonce`, `transport.expired`, `key.malformed` or
 * `data.not-authentic`.
 */
export async function verifyTransport(
  statement: Statement,
  known: TransportCheck,
): Promise<TransportKey> {
  if (!equal(await sha256(known.identity), known.fingerprint)) {
    throw new TwinlockError(
      "transport.identity",
      "The server speaks for another token than the one pinned here.",
      "Stop. Compare the fingerprint with an administrator by phone.",
    );
  }
  await verify(await p256PointOf(known.identity), statement.raw, statement.signature);
  const items = decodeLabelled(statement.raw, TRANSPORT, 8, MAX_STATEMENT_SIZE);
  const [deployment, kid, spki, oaepHash, notBefore, notAfter, nonce] = items;
  requireDeployment(deployment, known.deploymentId);
  if (!equal(takeBytes(nonce, 32), known.agentNonce)) {
    throw new TwinlockError(
      "transport.nonce",
      "The transport key was stated for another session than this agent's.",
      "Ask the server for a new request.",
    );
  }
  requireAlive(takeUint(notBefore), takeUint(notAfter), known.now);
  if (oaepHash !== "sha1" && oaepHash !== "sha256") {
    throw notAuthentic("transport: unknown OAEP hash");
  }
  return transportKey(takeBytes(kid, 16), takeBytes(spki), oaepHash);
}

function requireAlive(notBefore: Uint, notAfter: Uint, now: number): void {
  const life = BigInt(notAfter) - BigInt(notBefore);
  if (!holdsAt(notBefore, notAfter, now) || life < 0 || life > MAX_TRANSPORT_LIFE) {
    throw new TwinlockError(
      "transport.expired",
      "The transport key is not valid now.",
      "Ask the server for a new request, and compare the clocks of both machines.",
    );
  }
}

async function transportKey(kid: Bytes, spki: Bytes, hash: OaepHash): Promise<TransportKey> {
  return { kid, digest: await sha256(spki), key: await rsaPublicKey(spki, hash) };
}

// --- the token directory ---------------------------------------------------------------------

interface TokenKey {
  readonly type: string;
  readonly kid: Bytes;
  readonly public: Bytes;
  readonly notBefore: Uint;
  readonly notAfter: Uint;
}

/** The verified token directory: what an agent needs of it. */
export interface Directory {
  /** SubjectPublicKeyInfo of the identity key, and its fingerprint. */
  readonly identity: Bytes;
  readonly fingerprint: Bytes;
  /** All keys that are stated now. */
  readonly keys: readonly TokenKey[];
}

/**
 * Check every statement against the pinned identity (R-STMT-5, R-STMT-6).
 *
 * Throws `directory.identity` when none is of the pinned identity key, `data.not-authentic` for
 * any that it did not sign.
 */
export async function verifyDirectory(
  statements: readonly Statement[],
  known: { readonly deploymentId: Bytes; readonly fingerprint: Bytes; readonly now: number },
): Promise<Directory> {
  const keys = statements.map((statement) => takeTokenKey(statement.raw, known.deploymentId));
  const alive = keys.filter((key) => holdsAt(key.notBefore, key.notAfter, known.now));
  const identity = await findIdentity(alive, known.fingerprint);
  const point = await p256PointOf(identity);
  await Promise.all(statements.map(({ raw, signature }) => verify(point, raw, signature)));
  return { identity, fingerprint: known.fingerprint, keys: alive };
}

/** The 65-byte point of the newest key that countersigns membership logs; `directory.no-key`. */
export function logPoint(directory: Directory): Promise<Bytes> {
  const found = directory.keys.filter((key) => key.type === "log");
  if (found.length === 0) {
    throw new TwinlockError(
      "directory.no-key",
      "The token directory states no log key.",
      "Run `twinlock token add-key`.",
    );
  }
  const newest = found.reduce((best, key) => (key.notBefore > best.notBefore ? key : best));
  return p256PointOf(newest.public);
}

/** K of a stated hardening key, 65 bytes (R-HARD-6). Throws `directory.no-hardening-key`. */
export function hardeningPoint(directory: Directory, kid: Bytes): Promise<Bytes> {
  const found = directory.keys.find((key) => key.type === "hardening" && equal(key.kid, kid));
  if (found === undefined) {
    throw new TwinlockError(
      "directory.no-hardening-key",
      "The token directory states no hardening key of that id.",
      "Its key may be gone: use another way in, and enrol the password anew.",
    );
  }
  return p256PointOf(found.public);
}

async function findIdentity(keys: readonly TokenKey[], fingerprint: Bytes): Promise<Bytes> {
  for (const key of keys) {
    const ours = key.type === "identity" && equal(await sha256(key.public), fingerprint);
    if (ours) return key.public;
  }
  throw new TwinlockError(
    "directory.identity",
    "The token directory is not that of the pinned token.",
    "The directory was replaced, or the wrong database is connected.",
  );
}

function takeTokenKey(raw: Bytes, deploymentId: Bytes): TokenKey {
  const items = decodeLabelled(raw, TOKEN_KEY, 8, MAX_STATEMENT_SIZE);
  const [deployment, type, kid, spki, serial, notBefore, notAfter] = items;
  requireDeployment(deployment, deploymentId);
  if (typeof type !== "string" || !TYPES.has(type)) {
    throw malformed("it states a key of an unknown type");
  }
  const key = { type, kid: takeBytes(kid, 16), public: takeBytes(spki) };
  takeText(serial);
  return { ...key, notBefore: takeUint(notBefore), notAfter: takeUint(notAfter) };
}

function requireDeployment(value: Value | undefined, deploymentId: Bytes): void {
  if (!(value instanceof Uint8Array) || !equal(value, deploymentId)) {
    throw notAuthentic("statement: another deployment");
  }
}

function holdsAt(notBefore: Uint, notAfter: Uint, now: number): boolean {
  return notBefore <= now + CLOCK_SKEW && notAfter >= now - CLOCK_SKEW;
}
