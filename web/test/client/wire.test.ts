// The HTTP flow's small values, and what an application shows while it waits.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Status } from "../../src/agent/messages.ts";
import type { State } from "../../src/client/state.ts";
import { Waits } from "../../src/client/state.ts";
import { mediaType, mustStartAnew, needsRelease, readSession, toBase64url } from "../../src/client/wire.ts";

test("bytes become base64url without padding, and a session comes back from it", () => {
  const session = Uint8Array.from({ length: 32 }, (_, at) => 255 - at);
  const text = toBase64url(session);
  assert.match(text, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(text, Buffer.from(session).toString("base64url"));
  assert.deepEqual(readSession(text), session);
  assert.deepEqual(readSession(`${text}=`), session);
});

test("what is no session is none", () => {
  const text = toBase64url(new Uint8Array(32));
  for (const wrong of [null, "", text.slice(1), `${text}A`, `${text.slice(1)}+`, ` ${text}`]) {
    assert.equal(readSession(wrong), null);
  }
});

const problem = (code: unknown, status = 409): Response =>
  new Response(JSON.stringify({ code }), { status, headers: { "Content-Type": "application/problem+json" } });

test("only a lost place in the flow begins it anew", async () => {
  for (const code of ["http.request-unknown", "http.request-expired", "release.replayed", "release.expired"]) {
    assert.equal(await mustStartAnew(problem(code)), true, code);
  }
  for (const code of ["http.other-member", "release.mismatch", "http.busy", undefined, 7]) {
    assert.equal(await mustStartAnew(problem(code)), false, String(code));
  }
  const html = new Response("http.request-unknown", { status: 409 });
  const broken = new Response("{", { status: 409, headers: { "Content-Type": "application/problem+json" } });
  assert.deepEqual([await mustStartAnew(html), await mustStartAnew(broken)], [false, false]);
});

test("an answer can still be read after it was looked at", async () => {
  const answer = problem("http.other-member");
  await mustStartAnew(answer);
  assert.deepEqual(await answer.json(), { code: "http.other-member" });
});

test("a 428 of somebody else is the application's own", () => {
  assert.equal(needsRelease(new Response(null, { status: 428 })), false);
  const ours = new Response(null, { status: 428, headers: { "Twinlock-Request": "n.id" } });
  assert.equal(needsRelease(ours), true);
  const typed = new Response(null, { headers: { "Content-Type": "Application/Twinlock-Request; x=y" } });
  assert.equal(mediaType(typed), "application/twinlock-request");
});

test("the state says what requests wait for, and only while they do", async () => {
  const said: State[] = [];
  const heard: (Status | null)[] = [];
  const waits: Waits = new Waits(
    () => said.push(waits.state),
    () => heard.push(waits.status),
  );
  const { signal } = new AbortController();
  waits.agent("no-agent");
  assert.equal(waits.state, "idle");
  const ready = waits.untilReady(signal);
  waits.agent("locked");
  waits.agent("ready");
  await ready;
  waits.person(true);
  waits.person(true);
  waits.person(false);
  waits.person(false);
  waits.refused(true);
  waits.refused(false);
  assert.deepEqual(said, ["no-agent", "locked", "idle", "deciding", "idle", "refused", "idle"]);
  assert.deepEqual(heard, ["no-agent", "locked", "ready"]);
});

test("waiting for the agent ends with the signal", async () => {
  const waits = new Waits(() => undefined, () => undefined);
  waits.agent("locked");
  const control = new AbortController();
  const ready = waits.untilReady(control.signal);
  assert.equal(waits.state, "locked");
  control.abort(new Error("enough"));
  await assert.rejects(ready, /enough/);
  assert.equal(waits.state, "idle");
});
