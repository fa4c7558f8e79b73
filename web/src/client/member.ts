// The application's routes for its members' ways in (docs/http.md): all of this
// wire is here. JSON both ways, bytes as base64url without padding. Nothing is believed on this side: the
// agent checks what matters.

import type { Assertion, Registration, StatementPair, Told, Want, WantName } from "../agent/carrying.ts";
import { isCode } from "../agent/fields.ts";
import { TwinlockError } from "./errors.ts";
import { fromBase64url, toBase64url } from "./wire.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a server wants an assertion to sign, and the passkeys that it knows. */
export interface SignInAsked {
  /** The server's name for this ceremony. */
  readonly session: string;
  readonly nonce: Uint8Array;
  readonly allow: readonly Uint8Array[];
}

/** Posts to the routes under one address. */
export class MemberRoutes {
  readonly #base: URL;
  readonly #fetch: typeof fetch;
  /** The server's names for the exchange and the registration that are under way. */
  #exchange = "";
  #registration = "";

  constructor(base: URL, plainFetch: typeof fetch) {
    this.#base = base;
    this.#fetch = plainFetch;
  }

  /** Begin to sign in; `name` is the member's, where the page knows it. */
  async beginSignIn(name: string | null, signal: AbortSignal): Promise<SignInAsked> {
    const { session, nonce, allow } = await this.#post("sign-in/begin", { name }, signal);
    return { session: text(session), nonce: bytes(nonce), allow: credentialIds(allow) };
  }

  /** Finish with what the passkey signed; returns the application's answer as it is. */
  async finishSignIn(session: string, assertion: Assertion, signal: AbortSignal): Promise<Response> {
    return this.#answer("sign-in/finish", { session, response: assertionJson(assertion) }, signal);
  }

  /** Fetch what the agent wants. Fails with a `TwinlockError`. */
  async carry(want: Want, signal: AbortSignal): Promise<Told<WantName>> {
    switch (want.want) {
      case "offer": {
        const { kid, directory } = await this.#post("offer", { account: want.account }, signal);
        return { kid: bytes(kid), statements: list(directory).map(statementPair) };
      }
      case "evaluate": {
        const points = { first: toBase64url(want.first), second: toBase64url(want.second) };
        const body = { account: want.account, kid: toBase64url(want.kid), ...points };
        const { first, second } = await this.#post("evaluate", body, signal);
        return { first: bytes(first), second: bytes(second) };
      }
      case "scram-first": {
        const { session, message } = await this.#post("scram/first", { message: want.message }, signal);
        this.#exchange = text(session);
        return { message: text(message) };
      }
      case "scram-final": {
        const body = { session: this.#exchange, message: want.message };
        return { message: text((await this.#post("scram/final", body, signal))["message"]) };
      }
      case "bundle": {
        const { bundle } = await this.#post("bundle", { name: want.name, kinds: want.kinds }, signal);
        return { bundle: bytes(bundle) };
      }
      case "everything": {
        const { bundle } = await this.#post("full-bundle", { request: toBase64url(want.request) }, signal);
        return { bundle: bytes(bundle) };
      }
      case "groups": {
        const body = { hello: toBase64url(want.hello), request: toBase64url(want.request) };
        return { bundle: bytes((await this.#post("groups", body, signal))["bundle"]) };
      }
      case "register": {
        const { session, nonce, exclude } = await this.#post("register/begin", { name: want.name }, signal);
        this.#registration = text(session);
        return { nonce: bytes(nonce), exclude: credentialIds(exclude) };
      }
      case "registered": {
        const body = { session: this.#registration, response: registrationJson(want) };
        return { login: bytes((await this.#post("register/finish", body, signal))["login"]) };
      }
      case "change":
        await this.#post("change", { change: toBase64url(want.change) }, signal);
        return {};
    }
  }

  async #post(route: string, body: Json, signal: AbortSignal): Promise<Json> {
    const response = await this.#answer(route, body, signal);
    const said: unknown = await response.json().catch(() => null);
    if (!response.ok) throw problem(said, response.status);
    if (typeof said !== "object" || said === null) throw unreadable();
    return said as Json;
  }

  #answer(route: string, body: Json, signal: AbortSignal): Promise<Response> {
    const headers = { "Content-Type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body), signal, redirect: "error", cache: "no-store" } as const;
    return this.#fetch(new Request(new URL(route, this.#base), init));
  }
}

/** SPEC 29: WebAuthn's AuthenticationResponseJSON. The results of extensions are never in it. */
function assertionJson(given: Assertion): Json {
  const id = toBase64url(given.rawId);
  return {
    ...{ id, rawId: id, type: "public-key" },
    authenticatorAttachment: given.attachment,
    clientExtensionResults: {},
    response: {
      clientDataJSON: toBase64url(given.clientData),
      authenticatorData: toBase64url(given.authenticatorData),
      signature: toBase64url(given.signature),
      userHandle: given.userHandle && toBase64url(given.userHandle),
    },
  };
}

/** SPEC 29: WebAuthn's RegistrationResponseJSON. */
function registrationJson(given: Registration): Json {
  const id = toBase64url(given.rawId);
  return {
    ...{ id, rawId: id, type: "public-key" },
    authenticatorAttachment: given.attachment,
    clientExtensionResults: { prf: { enabled: true } },
    response: {
      clientDataJSON: toBase64url(given.clientData),
      attestationObject: toBase64url(given.attestation),
      transports: given.transports,
    },
  };
}

function credentialIds(value: unknown): Uint8Array[] {
  return list(value).map((credential) => bytes((credential as Json | null)?.["id"]));
}

function statementPair(value: unknown): StatementPair {
  const [statement, signature] = list(value);
  return [bytes(statement), bytes(signature)];
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw unreadable();
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw unreadable();
  return value;
}

function bytes(value: unknown): Uint8Array {
  const decoded = typeof value === "string" ? fromBase64url(value) : null;
  if (decoded === null) throw unreadable();
  return decoded;
}

/** What the application refused, as it says it (RFC 9457), else as its status. */
function problem(said: unknown, status: number): TwinlockError {
  const { code, detail, title, hint } = (said ?? {}) as Json;
  const shown = [detail, title].find((one) => typeof one === "string");
  if (isCode(code)) return new TwinlockError(code, String(shown ?? code), typeof hint === "string" ? hint : "");
  return new TwinlockError("client.member-routes", `The application answered ${status}.`, "Sign in again, or tell its operator.");
}

function unreadable(): TwinlockError {
  return new TwinlockError("client.member-routes", "The application's answer is not what was asked for.", "Tell its operator.");
}
