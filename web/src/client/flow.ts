// The HTTP flow (SPEC 23): a request that needs sealed data is answered 428; the agent's hello and
// then its release are posted to the same address, and the answer to that is the answer.

import type { Bridge } from "./bridge.ts";
import { NeedsExplicitOpen, TwinlockError } from "./errors.ts";
import type { Waits } from "./state.ts";
import {
  HELLO,
  HELLO_TYPE,
  isRedirect,
  MAX_HELLO_HEADER,
  mediaType,
  mustStartAnew,
  needsRelease,
  readSession,
  RELEASE,
  RELEASE_TYPE,
  releaseName,
  REQUEST,
  REQUEST_TYPE,
  SESSION,
  toBase64url,
} from "./wire.ts";

/** How often one call may go around: each time the server asks for other records than before. */
const ROUNDS = 3;

/** The agent was locked meanwhile, or took too long: a new request can be answered. */
const ASK_ANEW = new Set(["agent.none", "agent.locked", "request.session", "request.expired"]);

/** A release that the agent gave, or the server's own answer in its place. */
type Obtained = { readonly release: Uint8Array; readonly name: string } | { readonly instead: Response } | null;

/** Runs the flow for one page. `patience` is in milliseconds, for the person's part. */
export class Flow {
  readonly #bridge: Bridge;
  readonly #waits: Waits;
  readonly #fetch: typeof fetch;
  readonly #patience: number;
  /** The login session's public value, by the origin that said it and never told to another. */
  readonly #sessions = new Map<string, Uint8Array>();

  constructor(bridge: Bridge, waits: Waits, plainFetch: typeof fetch, patience: number) {
    this.#bridge = bridge;
    this.#waits = waits;
    this.#fetch = plainFetch;
    this.#patience = patience;
  }

  /** Make a request. With `explicit`, an unsafe one is repeated once it was released. */
  async run(request: Request, explicit: boolean): Promise<Response> {
    this.#waits.refused(false);
    const isSafe = request.method === "GET" || request.method === "HEAD";
    if (explicit || isSafe) request = await repeatable(request);
    let response = await this.#first(request);
    for (let round = 0; needsRelease(response); round++) {
      if (!explicit && !isSafe) throw new NeedsExplicitOpen(request.method, request.url);
      if (round === ROUNDS) throw tooOften();
      const obtained = await this.#obtain(request, response);
      if (obtained === null) response = await this.#first(request);
      else if ("instead" in obtained) response = obtained.instead;
      else response = await this.#redeem(request, obtained.release, obtained.name, isSafe);
      if (await mustStartAnew(response)) response = await this.#first(request);
    }
    return response;
  }

  /** Make the request itself; with the hello in front where the session and an agent are known. */
  async #first(request: Request): Promise<Response> {
    const headers = new Headers(request.headers);
    const session = this.#sessions.get(new URL(request.url).origin);
    if (request.method === "GET" && session && this.#waits.isReady) {
      // Saves a round trip. The answer to a HEAD has no body that could hold the bundle.
      const hello = await this.#bridge.hello(session, request.signal).catch(() => null);
      request.signal.throwIfAborted();
      const text = hello ? toBase64url(hello) : "";
      if (text !== "" && text.length <= MAX_HELLO_HEADER) {
        headers.set(HELLO, text);
        // A redirect would take the hello along, to another origin too: then ask without it.
        const ahead = new Request(request.clone(), { headers, redirect: "manual" });
        const response = await this.#fetch(ahead);
        if (!isRedirect(response)) return this.#heard(request, response);
        headers.delete(HELLO);
      }
    }
    return this.#heard(request, await this.#fetch(new Request(request.clone(), { headers })));
  }

  /** Get the release that an answer asks for; null where the request has to be made anew. */
  async #obtain(request: Request, response: Response): Promise<Obtained> {
    try {
      if (mediaType(response) !== REQUEST_TYPE) {
        const bound = await this.#sayHello(request, response);
        if (!needsRelease(bound) || mediaType(bound) !== REQUEST_TYPE) return { instead: bound };
        response = bound;
      }
      const name = response.headers.get(REQUEST) ?? "";
      const bundle = new Uint8Array(await response.arrayBuffer());
      return { name, release: await this.#bridge.release(bundle, request.signal, this.#patience) };
    } catch (error) {
      if (!(error instanceof TwinlockError)) throw error;
      if (error.code === "agent.refused") this.#waits.refused(true);
      if (!ASK_ANEW.has(error.code)) throw error;
      return null;
    }
  }

  async #sayHello(request: Request, response: Response): Promise<Response> {
    const session = readSession(response.headers.get(SESSION));
    const name = response.headers.get(REQUEST) ?? "";
    await response.body?.cancel();
    if (session === null) {
      throw new TwinlockError(
        "client.session",
        "The server's answer names no session.",
        "From another origin, its CORS must expose Twinlock-Request and Twinlock-Session.",
      );
    }
    await this.#agentReady(request.signal);
    const hello = await this.#bridge.hello(session, request.signal);
    return this.#post(request, name, HELLO_TYPE, hello);
  }

  /** Wait until the person has opened and unlocked the agent. */
  async #agentReady(signal: AbortSignal): Promise<void> {
    this.#waits.agent(await this.#bridge.status(signal));
    const limit = AbortSignal.timeout(this.#patience);
    try {
      await this.#waits.untilReady(AbortSignal.any([signal, limit]));
    } catch (error) {
      if (signal.aborted || !limit.aborted) throw error;
      throw new TwinlockError("agent.not-opened", "The agent was not opened in time.", "Open it, and try again.");
    }
  }

  async #redeem(request: Request, release: Uint8Array, name: string, isSafe: boolean): Promise<Response> {
    const answer = await this.#post(request, name, RELEASE_TYPE, release);
    if (isSafe || answer.status !== 204) return answer;
    const headers = new Headers(request.headers);
    headers.set(RELEASE, await releaseName(name, release));
    return this.#heard(request, await this.#fetch(new Request(request.clone(), { headers })));
  }

  async #post(request: Request, name: string, type: string, body: Uint8Array): Promise<Response> {
    const headers = new Headers(request.headers);
    headers.set(REQUEST, name);
    headers.set("Content-Type", type);
    const { url, credentials, referrer, referrerPolicy, signal } = request;
    const mode = request.mode === "navigate" ? "same-origin" : request.mode;
    const init = { method: "POST", headers, credentials, mode, referrer, referrerPolicy, signal };
    const posted = new Request(url, { ...init, redirect: "manual", cache: "no-store", body: new Uint8Array(body) });
    const response = await this.#fetch(posted);
    if (isRedirect(response)) throw redirected();
    return this.#heard(request, response);
  }

  /** Learn the session from an answer of the request's own origin. */
  #heard(request: Request, response: Response): Response {
    const { origin } = new URL(request.url);
    const session = readSession(response.headers.get(SESSION));
    if (session && new URL(response.url).origin === origin) this.#sessions.set(origin, session);
    if (needsRelease(response) && response.redirected) {
      throw redirected();
    }
    return response;
  }
}

/** A request whose body can be sent more than once, as streams cannot. */
async function repeatable(request: Request): Promise<Request> {
  if (request.body === null) return request;
  return new Request(request, { body: await request.arrayBuffer() });
}

function redirected(): TwinlockError {
  return new TwinlockError("client.redirected", "The answer came from another address.", "Ask that address.");
}

function tooOften(): TwinlockError {
  return new TwinlockError(
    "client.rounds",
    `The server asked for other records ${ROUNDS} times.`,
    "The records change while they are opened; try again.",
  );
}
