// Every vector file, by this implementation; what does not concern an agent in the browser is listed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TwinlockError } from "../../src/core/errors.ts";
import { OPERATIONS } from "./operations.ts";
import { loadVectors, type Vector } from "./vectors.ts";

const VECTORS = loadVectors();

/** Operations that no agent in the browser has. */
const OTHERS: Record<string, string> = {
  "walk-audit": "the audit chain is the server's",
  "verify-share": "help with AND locks is given and taken with the program",
  "read-device-key": "device keys are restored with the program",
  "open-device-key-backup": "device keys are restored with the program",
  "unlock-smart-card": "smart cards are used with the program",
  "unlock-contacts": "contacts help with the program",
  "compare-recovery": "contacts help with the program",
  "open-recovery-share": "contacts help with the program",
  "parse-scram-verifier": "only the server and the program read verifiers",
  "check-point": "the server checks what it evaluates",
  "encode-share-info": "help with AND locks is given and taken with the program",
};

/** Single files of operations that it does have. */
const LEFT_OUT: Record<string, string> = {
  "message-release-position": "only the server decodes releases",
  "message-release-version": "only the server decodes releases",
  "lock-and": "AND locks are opened with the program",
  "lock-and-mixed-kems": "AND locks are opened with the program",
  "bad-share-commitment": "AND locks are opened with the program",
  "lock-or-and": "AND locks are opened with the program",
  "adopted-and": "AND locks are opened with the program",
  "scram-exchange-binding": "a browser shows no script the TLS connection",
};

/** What is sealed with MLKEM768-X25519 is refused with a code of its own, whatever it is. */
const KEM_OF_THE_PROGRAM = 0x647a;
const UNSUPPORTED = "agent.kem-unsupported";
const PQ_ENROLMENTS = ["enrolment-device-key-pq"];

function expected(vector: Vector): string {
  const { kem, groups = [] } = vector.given;
  const kems = [kem, ...groups.map((group: { kem: number }) => group.kem)];
  const ofTheProgram = kems.includes(KEM_OF_THE_PROGRAM) || PQ_ENROLMENTS.includes(vector.name);
  return ofTheProgram ? UNSUPPORTED : vector.expect;
}

function concerns(vector: Vector): boolean {
  return !(vector.operation in OTHERS) && !(vector.name in LEFT_OUT);
}

/** R-VEC-1 */
for (const vector of VECTORS.filter(concerns)) {
  test(`${vector.name}: ${vector.why}`, async () => {
    const operation = OPERATIONS[vector.operation];
    assert.ok(operation, `nobody checks ${vector.operation}`);
    const code = expected(vector);
    const done = operation(vector.given, vector.output);
    if (code === "ok") return assert.deepEqual(await done, vector.output);
    await assert.rejects(done, (error) => {
      assert.ok(error instanceof TwinlockError, String(error));
      assert.equal(error.code, code);
      return true;
    });
  });
}

test("no vector file is forgotten, and none that is left out is gone", () => {
  assert.ok(VECTORS.length > 200);
  const operations = new Set(VECTORS.map(({ operation }) => operation));
  const names = new Set(VECTORS.map(({ name }) => name));
  assert.deepEqual([...operations].sort(), [...Object.keys(OPERATIONS), ...Object.keys(OTHERS)].sort());
  for (const name of [...Object.keys(LEFT_OUT), ...PQ_ENROLMENTS]) assert.ok(names.has(name), name);
});

test("each operation has a vector that must pass and, where any must, one that must fail", () => {
  for (const operation of Object.keys(OPERATIONS)) {
    const checked = VECTORS.filter((vector) => vector.operation === operation && concerns(vector));
    assert.ok(checked.some((vector) => expected(vector) === "ok"), operation);
  }
});
