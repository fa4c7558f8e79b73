// A member's list of ways in, as the server brings it: what an agent takes over, and what it refuses.

import "./webcrypto.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bytes } from "../../src/core/bytes.ts";
import { encode } from "../../src/core/cbor.ts";
import { decodeEnrolment, memberKeys, type Enrolment, type MemberKeys } from "../../src/core/enrolment.ts";
import { encodeList, type EnrolmentList } from "../../src/core/enrolment-list.ts";
import type { TwinlockError } from "../../src/core/errors.ts";
import { DHKEM_P256 } from "../../src/core/points.ts";
import { random } from "../../src/core/primitives.ts";
import { signMessage } from "../../src/core/release.ts";
import { newState, type MemberState } from "../../src/core/state.ts";
import { takeBundle } from "../../src/core/ways.ts";

const deploymentId = random(16);
const memberId = random(16);
const identity = random(32);

/** An enrolment in form: nothing here is unlocked. */
function enrolment(whose = memberId): Enrolment {
  const aad = encode(["twinlock/v1/enrolment", deploymentId, whose, random(16), DHKEM_P256, [["device-key", [random(16)]]]]);
  return decodeEnrolment(encode(["twinlock/v1/enrolment-blob", aad, random(12), random(80)]));
}

function listing(counter: number, enrolments: readonly Enrolment[], whose = memberId): EnrolmentList {
  const rows = enrolments.map(({ enrolmentId }) => ({ enrolmentId, kinds: ["device-key"], label: "", made: 0, atServer: true }));
  return { deploymentId, memberId: whose, counter, enrolments: rows, identity, groups: [] };
}

async function bundle(keys: MemberKeys, list: EnrolmentList, blobs: readonly Enrolment[]): Promise<Bytes> {
  const signed = await signMessage(encodeList(list), keys.signing);
  return encode(["twinlock/v1/member-bundle", deploymentId, memberId, "weber", signed, blobs.map(({ raw }) => raw), []]);
}

async function agent(present: readonly Enrolment[], counter: number): Promise<{ state: MemberState; keys: MemberKeys }> {
  const keys = await memberKeys(random(32), DHKEM_P256);
  const state = newState({ deploymentId, memberId, name: "weber" }, identity);
  state.enrolments = present;
  state.listed = listing(counter, present);
  return { state, keys };
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as TwinlockError).code;
  }
  return "accepted";
}

/** R-WAYS-9 */
test("a newer list takes the place of the one that is here, with the enrolments that came", async () => {
  const [old, kept, fresh] = [enrolment(), enrolment(), enrolment()];
  const { state, keys } = await agent([old, kept], 3);
  await takeBundle({ state, keys, now: 0 }, await bundle(keys, listing(4, [kept, fresh]), [fresh]));
  assert.deepEqual(state.enrolments, [kept, fresh]);
  assert.equal(state.listed?.counter, 4);
});

/** R-WAYS-1, R-WAYS-9, R-WAYS-12 */
test("a list that is older, another of the same age, another's or for elsewhere changes nothing", async () => {
  const here = enrolment();
  const { state, keys } = await agent([here], 3);
  const other = await memberKeys(random(32), DHKEM_P256);
  const cases: readonly (readonly [string, Bytes])[] = [
    ["enrolment.list-rolled-back", await bundle(keys, listing(2, [here]), [])],
    ["enrolment.list-forked", await bundle(keys, listing(3, [enrolment()]), [])],
    ["enrolment.list-damaged", await bundle(other, listing(4, [here]), [])],
    ["enrolment.list-damaged", await bundle(keys, listing(4, [here], random(16)), [])],
    ["enrolment.none-here", await bundle(keys, listing(4, [enrolment()]), [])],
    ["member.other-deployment", await bundle(keys, listing(4, [here]), [enrolment(random(16))])],
  ];
  for (const [code, raw] of cases) {
    assert.equal(await refusal(takeBundle({ state, keys, now: 0 }, raw)), code);
    assert.deepEqual(state.enrolments, [here]);
    assert.equal(state.listed?.counter, 3);
  }
});
