// The HTTP flow from the page's side, with a made-up server and agent (SPEC 23).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Bridge } from "../../src/client/bridge.ts";
import { TwinlockError } from "../../src/client/errors.ts";
import { Flow } from "../../src/client/flow.ts";
import { Waits } from "../../src/client/state.ts";
import { toBase64url } from "../../src/client/wire.ts";

const URL_ = "https://clinic.example/patients?n=1";
const SESSION = toBase64url(new Uint8Array(32).fill(5));
const PROBLEM = "application/problem+json";

interface Seen {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
  redirect: string;
}

type Reply = (request: Seen) => Response;

/** An answer as it would come from the network: with the address that it came from. */
function from(url: string, status: number, headers: Record<string, string> = {}, body = "", redirected = false): Response {
  const response = new Response(status === 204 ? null : body, { status, headers });
  Object.defineProperty(response, "url", { value: url });
  Object.defineProperty(response, "redirected", { value: redirected });
  return response;
}

const asks: Reply = ({ url }) =>
  from(url, 428, { "Twinlock-Request": "n.first", "Twinlock-Session": SESSION, "Content-Type": PROBLEM });
const bound: Reply = ({ url }) =>
  from(url, 428, { "Twinlock-Request": "n.first", "Twinlock-Session": SESSION, "Content-Type": "application/twinlock-request" }, "bundle");
const parked: Reply = ({ url }) => from(url, 204);
const done: Reply = ({ url }) => from(url, 200, {}, "data");
const lost: Reply = ({ url }) => from(url, 409, { "Content-Type": PROBLEM }, '{"code":"http.request-unknown"}');

/** A flow whose server gives these replies in order; `released` are the bundles that the agent saw. */
class Scene {
  readonly seen: Seen[] = [];
  readonly released: string[] = [];
  readonly waits = new Waits(() => undefined, () => undefined);
  failing: TwinlockError | null = null;
  readonly #replies: Reply[];

  readonly flow = new Flow(
    {
      status: async () => "ready",
      hello: async () => new TextEncoder().encode("hello"),
      release: async (bundle: Uint8Array) => {
        this.released.push(new TextDecoder().decode(bundle));
        const { failing } = this;
        this.failing = null;
        if (failing) throw failing;
        return new TextEncoder().encode("release");
      },
    } as unknown as Bridge,
    this.waits,
    (async (input: Request) => {
      const { method, url, headers, redirect } = input;
      const seen = { method, url, headers: Object.fromEntries(headers), body: await input.text(), redirect };
      this.seen.push(seen);
      const reply = this.#replies.shift();
      assert.ok(reply, `one request too many: ${method} ${url}`);
      return reply(seen);
    }) as typeof fetch,
    1000,
  );

  constructor(...replies: Reply[]) {
    this.#replies = replies;
  }

  run(init: RequestInit = {}, explicit = false, url = URL_): Promise<Response> {
    return this.flow.run(new Request(url, init), explicit);
  }

  get methods(): string[] {
    return this.seen.map(({ method }) => method);
  }
}

test("an answer that needs no release is the answer", async () => {
  const scene = new Scene(done);
  assert.equal(await (await scene.run()).text(), "data");
  assert.deepEqual([scene.methods, scene.released], [["GET"], []]);
});

test("hello and release go to the request's own address, with its headers", async () => {
  const scene = new Scene(asks, bound, done);
  const answer = await scene.run({ headers: { Accept: "text/x", Authorization: "Bearer t" } });
  assert.equal(await answer.text(), "data");
  const [, hello, release] = scene.seen;
  for (const posted of [hello, release]) {
    assert.equal(posted?.url, URL_);
    assert.equal(posted?.method, "POST");
    assert.equal(posted?.headers["authorization"], "Bearer t");
    assert.equal(posted?.headers["accept"], "text/x");
    assert.equal(posted?.headers["twinlock-request"], "n.first");
  }
  assert.deepEqual([hello?.headers["content-type"], hello?.body], ["application/twinlock-hello", "hello"]);
  assert.deepEqual([release?.headers["content-type"], release?.body], ["application/twinlock-release", "release"]);
  assert.deepEqual(scene.released, ["bundle"]);
});

test("the hello goes ahead once the session is known, to the origin that named it and to no other", async () => {
  const scene = new Scene(asks, bound, done, bound, done, done, done);
  scene.waits.agent("ready");
  await scene.run();
  await scene.run();
  assert.deepEqual(scene.methods, ["GET", "POST", "POST", "GET", "POST"]);
  assert.equal(scene.seen[3]?.headers["twinlock-hello"], toBase64url(new TextEncoder().encode("hello")));
  await scene.run({}, false, "https://other.example/patients");
  await scene.run({ method: "HEAD" });
  assert.equal(scene.seen[5]?.headers["twinlock-hello"], undefined);
  assert.equal(scene.seen[6]?.headers["twinlock-hello"], undefined);
});

test("an unsafe request is made once, and repeated only by open", async () => {
  const digest = createHash("sha256").update("release").digest("base64url");
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const scene = new Scene(asks);
    await assert.rejects(scene.run({ method, body: "b" }), { code: "client.explicit-open", name: "NeedsExplicitOpen" });
    assert.deepEqual([scene.methods, scene.released], [[method], []]);
    const opened = new Scene(asks, bound, parked, done);
    assert.equal(await (await opened.run({ method, body: "b" }, true)).text(), "data");
    assert.deepEqual(opened.methods, [method, "POST", "POST", method]);
    assert.equal(opened.seen[3]?.headers["twinlock-release"], `n.first.${digest}`);
    assert.deepEqual([opened.seen[0]?.body, opened.seen[3]?.body], ["b", "b"]);
  }
});

test("a release that was not kept does not lead to the repetition", async () => {
  const refused: Reply = ({ url }) => from(url, 403, { "Content-Type": PROBLEM }, '{"code":"release.mismatch"}');
  const scene = new Scene(asks, bound, refused);
  assert.equal((await scene.run({ method: "POST", body: "b" }, true)).status, 403);
  assert.deepEqual(scene.methods, ["POST", "POST", "POST"]);
});

test("what the server says instead of a bundle or the data is the answer", async () => {
  const denied: Reply = ({ url }) => from(url, 403, { "Content-Type": PROBLEM }, '{"code":"http.other-member"}');
  const scene = new Scene(asks, denied);
  assert.deepEqual(await (await scene.run()).json(), { code: "http.other-member" });
  assert.deepEqual(scene.released, []);
});

test("a request that the server lost is made anew", async () => {
  const scene = new Scene(asks, lost, asks, bound, lost, asks, bound, done);
  assert.equal(await (await scene.run()).text(), "data");
  assert.deepEqual(scene.methods, ["GET", "POST", "GET", "POST", "POST", "GET", "POST", "POST"]);
});

for (const code of ["agent.locked", "agent.none", "request.session", "request.expired"]) {
  test(`a release that fails with ${code} is asked for anew`, async () => {
    const scene = new Scene(asks, bound, asks, bound, done);
    scene.failing = new TwinlockError(code, "meanwhile");
    assert.equal(await (await scene.run()).text(), "data");
    assert.deepEqual(scene.released, ["bundle", "bundle"]);
  });
}

for (const code of ["agent.refused", "transport.replaced", "request.unexpected", "log.fork"]) {
  test(`what fails with ${code} is not asked for again`, async () => {
    const scene = new Scene(asks, bound);
    scene.failing = new TwinlockError(code, "no");
    await assert.rejects(scene.run(), { code });
    assert.equal(scene.waits.state, code === "agent.refused" ? "refused" : "idle");
  });
}

test("a client gives up after three releases", async () => {
  const scene = new Scene(asks, bound, asks, bound, asks, bound, asks);
  await assert.rejects(scene.run(), { code: "client.rounds" });
  assert.equal(scene.released.length, 3);
});

test("an answer from another address than the one that was asked is not followed", async () => {
  const elsewhere: Reply = () =>
    from("https://other.example/x", 428, { "Twinlock-Request": "n.x", "Twinlock-Session": SESSION }, "", true);
  await assert.rejects(new Scene(elsewhere).run(), { code: "client.redirected" });
});

test("an answer without a session is told as that", async () => {
  const anonymous: Reply = ({ url }) => from(url, 428, { "Twinlock-Request": "n.x" });
  await assert.rejects(new Scene(anonymous).run(), { code: "client.session" });
});

test("an aborted request asks nobody", async () => {
  const scene = new Scene(asks);
  const control = new AbortController();
  control.abort(new Error("enough"));
  await assert.rejects(scene.run({ signal: control.signal }));
  assert.deepEqual(scene.released, []);
});

test("a hello or release is never redirected", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    const moved: Reply = ({ url }) => from(url, status, { Location: "https://other.example/x" });
    for (const replies of [[asks, moved], [asks, bound, moved]]) {
      const scene = new Scene(...replies);
      await assert.rejects(scene.run(), { code: "client.redirected" });
      assert.deepEqual(scene.seen.slice(1).map(({ redirect }) => redirect), replies.slice(1).map(() => "manual"));
    }
  }
});

test("a redirect of what was asked with a hello is followed without it", async () => {
  const moved: Reply = ({ url }) => from(url, 302, { Location: "https://other.example/x" });
  const scene = new Scene(asks, bound, done, moved, done);
  scene.waits.agent("ready");
  await scene.run();
  assert.equal(await (await scene.run()).text(), "data");
  const [ahead, again] = scene.seen.slice(3);
  assert.deepEqual([ahead?.redirect, again?.redirect], ["manual", "follow"]);
  assert.ok(ahead?.headers["twinlock-hello"]);
  assert.equal(again?.headers["twinlock-hello"], undefined);
});
