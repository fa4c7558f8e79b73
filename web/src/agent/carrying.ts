// What the agent has carried: its window makes no connection, so a page of the application fetches for
// it what ways in need (SPEC 25). The page asks `carry` once; from then on the agent says what it
// wants, each with a `call` of its own, and the page tells what came of it.

import { isBytes, isCode, isId, isListOf, isNullOr, isText, isTuple, type Fields } from "./fields.ts";

/** The most characters of an error's message or hint. */
export const MOST_TEXT = 2000;
const MOST_NAME = 200;
const MOST_SCRAM = 2048;
const MOST_STATEMENT = 4096;
const MOST_STATEMENTS = 1000;
const MOST_BUNDLE = 4 << 20;
const MOST_HELLO = 1 << 20;
const MOST_NEWS = 64 << 20;
const MOST_CHANGE = 1 << 20;
const MOST_CREDENTIALS = 64;
const POINT = isBytes(65, 65);
const COORDINATE = isBytes(32, 32);
const KID = isBytes(16, 16);
const NONCE = isBytes(32, 32);
/** A WebAuthn credential's id (SPEC 29). */
export const isCredentialId = isBytes(16, 1023);
export const isCredentialList = isListOf(isCredentialId, MOST_CREDENTIALS);
const isAttachment = isNullOr(isText(20));
const MOST_CLIENT_DATA = 4096;

/** An assertion of a passkey, without the results of any extension. */
export interface Assertion {
  readonly rawId: Uint8Array;
  readonly attachment: string | null;
  readonly clientData: Uint8Array;
  readonly authenticatorData: Uint8Array;
  readonly signature: Uint8Array;
  readonly userHandle: Uint8Array | null;
}

/** A new passkey as a server takes it. */
export interface Registration {
  readonly rawId: Uint8Array;
  readonly attachment: string | null;
  readonly clientData: Uint8Array;
  readonly attestation: Uint8Array;
  readonly transports: readonly string[];
}

/** A statement of the token and its signature. */
export type StatementPair = readonly [Uint8Array, Uint8Array];

/** What each thing that the agent wants takes, and what the page tells. */
export interface Carried {
  /** The hardening key for an account's next password, and the token directory. */
  offer: { takes: { account: string }; tells: { kid: Uint8Array; statements: readonly StatementPair[] } };
  /** Both blinded points of a password through the token. */
  evaluate: {
    takes: { account: string; kid: Uint8Array; first: Uint8Array; second: Uint8Array };
    tells: { first: Uint8Array; second: Uint8Array };
  };
  "scram-first": { takes: { message: string }; tells: { message: string } };
  "scram-final": { takes: { message: string }; tells: { message: string } };
  /** One enrolment of a member, to be unlocked. */
  bundle: { takes: { name: string; kinds: readonly string[] }; tells: { bundle: Uint8Array } };
  /** All of a member's enrolments, for what the member signed. */
  everything: { takes: { request: Uint8Array }; tells: { bundle: Uint8Array } };
  /** News of the member's groups, for what the member signed. */
  groups: { takes: { hello: Uint8Array; request: Uint8Array }; tells: { bundle: Uint8Array } };
  /** What a new passkey has to sign; `audience` is the origin of the page that carries. */
  register: { takes: { name: string }; tells: { nonce: Uint8Array; exclude: readonly Uint8Array[] } };
  /** What the server wants to find in the member's next change. */
  registered: { takes: Registration; tells: { login: Uint8Array } };
  /** A member's signed change of its ways in. */
  change: { takes: { change: Uint8Array }; tells: object };
}

export type WantName = keyof Carried;
export type Want = { [K in WantName]: { readonly want: K } & Readonly<Carried[K]["takes"]> }[WantName];
export type Told<K extends WantName> = Readonly<Carried[K]["tells"]>;

export const WANTS: Readonly<Record<WantName, Fields>> = {
  offer: { account: isText(MOST_NAME) },
  evaluate: { account: isText(MOST_NAME), kid: KID, first: POINT, second: POINT },
  "scram-first": { message: isText(MOST_SCRAM) },
  "scram-final": { message: isText(MOST_SCRAM) },
  bundle: { name: isText(MOST_NAME), kinds: isListOf(isText(40), 8) },
  everything: { request: isBytes(1, MOST_SCRAM) },
  groups: { hello: isBytes(1, MOST_HELLO), request: isBytes(1, MOST_SCRAM) },
  register: { name: isText(MOST_NAME) },
  registered: {
    rawId: isCredentialId,
    attachment: isAttachment,
    clientData: isBytes(1, MOST_CLIENT_DATA),
    attestation: isBytes(1, 4 * MOST_CLIENT_DATA),
    transports: isListOf(isText(40), 16),
  },
  change: { change: isBytes(1, MOST_CHANGE) },
};

export const TELLS: Readonly<Record<WantName, Fields>> = {
  offer: { kid: KID, statements: isListOf(isTuple(isBytes(1, MOST_STATEMENT), isBytes(64, 64)), MOST_STATEMENTS) },
  evaluate: { first: COORDINATE, second: COORDINATE },
  "scram-first": { message: isText(MOST_SCRAM) },
  "scram-final": { message: isText(MOST_SCRAM) },
  bundle: { bundle: isBytes(1, MOST_BUNDLE) },
  everything: { bundle: isBytes(1, MOST_BUNDLE) },
  groups: { bundle: isBytes(1, MOST_NEWS) },
  register: { nonce: NONCE, exclude: isCredentialList },
  registered: { login: isBytes(1, MOST_CLIENT_DATA) },
  change: {},
};

/** The fields of an assertion, as an answer to `sign-in` has them. */
export const ASSERTION: Readonly<Record<keyof Assertion, Fields[string]>> = {
  rawId: isCredentialId,
  attachment: isAttachment,
  clientData: isBytes(1, MOST_CLIENT_DATA),
  authenticatorData: isBytes(37, MOST_CLIENT_DATA),
  signature: isBytes(1, 1024),
  userHandle: isNullOr(isBytes(1, 64)),
};

/** What a page tells when it could not. */
export const UNABLE: Fields = { of: isId, code: isCode, message: isText(MOST_TEXT), hint: isText(MOST_TEXT) };
