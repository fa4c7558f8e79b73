// What this implementation does with a vector's input, by the vector's operation.

import "./webcrypto.ts";
import assert from "node:assert/strict";
import { equal, hex, utf8, type Bytes } from "../../src/core/bytes.ts";
import { decode, encode, type Uint } from "../../src/core/cbor.ts";
import { encodeContext, type Context, type RecordId } from "../../src/core/context.ts";
import { parseDeploymentCard } from "../../src/core/deployment.ts";
import { decodeEnrolment, unlock, type Enrolment } from "../../src/core/enrolment.ts";
import { deviceKeyFactor } from "../../src/core/factors/device-key.ts";
import type { Factor } from "../../src/core/factors/factor.ts";
import { passkeyFactor, takePasskeyParameters } from "../../src/core/factors/passkey.ts";
import { passphraseFactor } from "../../src/core/factors/passphrase.ts";
import { passwordFactor, passwordOutput, passwordPoint } from "../../src/core/factors/password.ts";
import { readRecoveryCode, recoveryCodeFactor } from "../../src/core/factors/recovery-code.ts";
import { scramFactor } from "../../src/core/factors/scram.ts";
import { blind } from "../../src/core/hardening/evaluation.ts";
import { decodeKeyFile } from "../../src/core/keyfile.ts";
import { KemKey, SigningKey } from "../../src/core/keys.ts";
import { loginSecret, loginVerifier } from "../../src/core/login.ts";
import { hmac, keyId, sha256, verify, wrapKeys } from "../../src/core/primitives.ts";
import { encodeRelease } from "../../src/core/release.ts";
import { decodeRequest, type GroupHead } from "../../src/core/request.ts";
import { logPoint, verifyDirectory, verifyTransport } from "../../src/core/statements.ts";
import { begin } from "../../src/core/scram/exchange.ts";
import { scramKeys } from "../../src/core/scram/keys.ts";
import { multiply, prf, scalarOf } from "./devices.ts";
import { openAdopted, openFile, openRow, openValue, unwrap } from "./opener.ts";
import { bytesOf, numberOf, type Given } from "./vectors.ts";

/** Each returns what the vector's output must be. */
export const OPERATIONS: Record<string, (given: Given, output: Given) => Promise<Given>> = {
  "decode-cbor": async (given) => ({ message: hex(encode(decode(bytesOf(given.message)))) }),

  "encode-context": async (given) => {
    const context = { ...given, record: recordOf(given.record), version: numberOf(given.version) };
    return { context: hex(encodeContext(context as Context, bytesOf(given.deployment))) };
  },

  "derive-kem-key": async (given) => {
    const { public: point } = await KemKey.fromSeed(given.kem, bytesOf(given.seed));
    return { public: hex(point), kid: hex(await keyId(point)) };
  },

  "derive-signing-key": async (given) => {
    const { public: point, kid } = await SigningKey.fromSeed(bytesOf(given.seed));
    return { public: hex(point), kid: hex(kid) };
  },

  "verify-signature": async (given) => {
    await verify(bytesOf(given.public), bytesOf(given.message), bytesOf(given.signature));
    return {};
  },

  "open-hpke": async (given) => {
    const key = await KemKey.fromSeed(given.kem, bytesOf(given.seed));
    return { plaintext: hex(await key.open(bytesOf(given.sealed), bytesOf(given.info))) };
  },

  "unwrap-key": async (given) => {
    const key = unwrap(bytesOf(given.kek), bytesOf(given.wrapped));
    const [wrapped] = await wrapKeys(bytesOf(given.kek), [key]);
    if (hex(wrapped!) !== given.wrapped) throw new Error("the agent wraps another way");
    return { key: hex(key) };
  },

  "open-value": openValue,
  "open-row": openRow,
  "open-file": openFile,
  "open-adopted": openAdopted,

  "verify-transport": async (given) => {
    const statement = { raw: bytesOf(given.statement), signature: bytesOf(given.signature) };
    const { kid, digest } = await verifyTransport(statement, {
      identity: bytesOf(given.identity),
      fingerprint: bytesOf(given.fingerprint),
      deploymentId: bytesOf(given.deployment),
      agentNonce: bytesOf(given.agent_nonce),
      now: given.now,
    });
    const [, , , spki, oaep_hash] = decode(statement.raw);
    if (!equal(await sha256(spki as Bytes), digest)) throw new Error("digest of another key");
    return { kid: hex(kid), public: hex(spki as Bytes), oaep_hash };
  },

  "verify-directory": async (given, output) => {
    const statements = given.statements.map((statement: Given) => {
      return { raw: bytesOf(statement.statement), signature: bytesOf(statement.signature) };
    });
    const directory = await verifyDirectory(statements, {
      deploymentId: bytesOf(given.deployment),
      fingerprint: bytesOf(given.fingerprint),
      now: given.now,
    });
    // The agent needs the log key alone; which wrapping key is current is the writers' business.
    const point = await logPoint(directory);
    const log = directory.keys.find((key) => equal(key.public.slice(-65), point));
    return { ...output, log: hex(log!.kid) };
  },

  "encode-request": async (given, output) => {
    const message = bytesOf(output.message);
    const { heads, items, notAfter, purpose, ...binary } = decodeRequest(message);
    const decoded = {
      ...namedAsGiven(binary),
      purpose,
      not_after: notAfter,
      heads: heads.map(shownHead),
      items: items.map(namedAsGiven),
    };
    if (sorted(decoded) !== sorted(given)) throw new Error("decoded to other fields");
    return { ...output, digest: hex(await sha256(message)) };
  },

  "verify-release": async (given, { fields }) => {
    const signed = bytesOf(given.signed);
    const [, message, signature] = decode(signed) as [string, Bytes, Bytes];
    await verify(bytesOf(given.public), message, signature);
    const { items, time, counter, session_key, ...binary } = fields;
    const again = encodeRelease({
      ...(binaryOf(binary) as any),
      time,
      counter,
      block: bytesOf(session_key),
      items: items.map((item: Given) => ({
        dekId: bytesOf(item.dek_id),
        lockDigest: bytesOf(item.lock_digest),
        wrapped: bytesOf(item.wrapped_release_key),
      })),
    });
    if (!equal(again, message)) throw new Error("encoded to another message");
    return { fields, digest: hex(await sha256(signed)) };
  },

  "unlock-enrolment": async (given, output) => {
    const factors: Factor[] = [];
    if ("passphrase" in given) factors.push(passphraseFactor(given.passphrase));
    if ("device_key" in given) factors.push(deviceKeyFactor(bytesOf(given.device_key)));
    return unlocked(given, output, () => factors);
  },

  "unlock-recovery-code": async (given, output) =>
    unlocked(given, output, () => [recoveryCodeFactor(given.recovery_code)]),

  "unlock-password": async (given, output) => {
    const hardening = {
      offer: () => assert.fail("no new enrolment is made"),
      pinned: async () => bytesOf(given.pinned),
      evaluate: async (_kid: Bytes, ...points: [Bytes, Bytes]) => multiply(scalarOf(given.hardening_seed), points),
    };
    return unlocked(given, output, () => [passwordFactor(given.password, hardening)]);
  },

  "unlock-scram": async (given, output) => {
    const others = "device_key" in given ? [deviceKeyFactor(bytesOf(given.device_key))] : [];
    return unlocked(given, output, () => [scramFactor(given.password), ...others]);
  },

  "unlock-passkey": async (given, output) =>
    unlocked(given, output, ({ factors: [row] }) => {
      const asked = takePasskeyParameters(row!.parameters);
      return [passkeyFactor({ ...asked, output: prf(bytesOf(given.cred_random), asked.salt) })];
    }),

  "read-recovery-code": async (given) => ({ code: hex(await readRecoveryCode(given.text)) }),

  "accept-evaluation": async (given) => {
    const place = {
      deploymentId: bytesOf(given.deployment),
      memberId: bytesOf(given.member),
      enrolmentId: bytesOf(given.enrolment),
    };
    const [kid, stretched, hardeningKey] = [given.kid, given.stretched, given.public].map(bytesOf) as [Bytes, Bytes, Bytes];
    const drawn = [given.r, given.t, given.s, given.swapped ? "01" : "00"].map(bytesOf);
    const point = passwordPoint(place, kid, stretched);
    const blinded = blind(point, () => drawn.shift()!);
    const x = blinded.accept(hardeningKey, given.answers.map(bytesOf));
    const output = await passwordOutput(place, { kid, hardeningKey }, x, stretched);
    return { point: hex(point), sent: blinded.sent.map(hex), output: hex(output) };
  },

  "prove-scram": async (given, output) => {
    const salt = bytesOf(given.salt);
    const start = begin(given.account, () => bytesOf(given.random));
    const keys = await scramKeys(given.password, salt, given.iterations);
    const proof = await start.prove(given.server_first, { salt, iterations: given.iterations }, keys);
    if (output.server_final) proof.accept(output.server_final);
    return { client_first: start.first, client_final: proof.final, server_final: output.server_final };
  },

  "split-login": async (given) => {
    const secret = await loginSecret(bytesOf(given.hardened));
    return { login_secret: hex(secret), verifier: hex(await loginVerifier(bytesOf(given.member), secret)) };
  },

  "parse-deployment-card": async (given) => {
    const { deploymentId, identity } = await parseDeploymentCard(given.text);
    return { deployment: hex(deploymentId), fingerprint: hex(identity) };
  },

  "decode-key-file": async (given) => {
    return { key: hex(await decodeKeyFile(given.kind, utf8(given.text))) };
  },
};

/** Unlock an enrolment, and show its keys. */
async function unlocked(
  given: Given,
  output: Given,
  factors: (enrolment: Enrolment) => readonly Factor[],
): Promise<Given> {
  const enrolment = decodeEnrolment(bytesOf(given.enrolment));
  const keys = await unlock(enrolment, factors(enrolment));
  // No script can read the state key, so it is compared by what it authenticates.
  const message = utf8("any");
  const expected = await hmac(bytesOf(output.state_key), message);
  const same = equal(await hmac(keys.state, message), expected);
  return {
    kem_public: hex(keys.kem.public),
    signing_public: hex(keys.signing.public),
    state_key: same ? output.state_key : "another",
  };
}

function recordOf(record: Given): RecordId {
  const [[kind, value]] = Object.entries(record) as [[string, any]];
  if (kind === "bytes") return bytesOf(value);
  if (kind === "uuid") return { uuid: value };
  if (kind === "tuple") return value.map(recordOf);
  return kind === "number" ? (numberOf(value) as Uint) : value;
}

function shownHead({ groupId, seq, head }: GroupHead): Given {
  return { group_id: hex(groupId), seq, head: hex(head) };
}

/** `{ requestId: bytes }` as `{ request_id: hexadecimal }`. */
function namedAsGiven(fields: object): Given {
  const rows = Object.entries(fields).map(([name, value]) => {
    return [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), hex(value as Bytes)];
  });
  return Object.fromEntries(rows);
}

function binaryOf(fields: Given): Given {
  const rows = Object.entries(fields).map(([name, value]) => {
    return [name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()), bytesOf(value)];
  });
  return Object.fromEntries(rows);
}

function sorted(value: object): string {
  return JSON.stringify(value, (_, item) => {
    const plain = typeof item === "object" && item !== null && !Array.isArray(item);
    return plain ? Object.fromEntries(Object.entries(item).sort()) : item;
  });
}
