// Passkeys, as the browser offers them to a page (SPEC 29). What the PRF gives stays on this origin: what
// leaves is built field by field.

import { concat, copy, equal, type Bytes } from "../core/bytes.ts";
import { encode } from "../core/cbor.ts";
import { PRF_SALT_SIZE, type PasskeyAnswer, type PasskeyParameters } from "../core/factors/passkey.ts";
import { random, sha256 } from "../core/primitives.ts";
import type { Assertion, Registration } from "./carrying.ts";
import { Failure } from "./failure.ts";

const SIGN_IN = "twinlock/v1/sign-in";
const REGISTRATION = "twinlock/v1/passkey-registration";
/** COSE: ES256, EdDSA, RS256. */
const ALGORITHMS = [-7, -8, -257];
/** Milliseconds that a person may take. */
const PATIENCE = 120_000;

/** Which server asks: the page's origin as the browser states it, and a nonce that the server drew. */
export interface Audience {
  readonly origin: string;
  readonly nonce: Uint8Array;
}

/** What one touch gave: the factor, and what signs in. */
export interface Touched {
  readonly answer: PasskeyAnswer;
  readonly assertion: Assertion;
}

/**
 * Ask for one of these passkeys. With an `audience` the assertion signs in there; without, it signs in
 * nowhere, since its challenge is random (R-PASSKEY-5, R-PASSKEY-6).
 *
 * Fails with `passkey.unknown`, `passkey.cancelled`, `passkey.no-prf` or `passkey.not-verified`.
 */
export async function askPasskey(known: readonly PasskeyParameters[], audience: Audience | null): Promise<Touched> {
  const ours = known.filter(({ rpId }) => rpId === location.hostname);
  if (ours.length === 0) {
    throw new Failure("passkey.unknown", "None of your passkeys is for this agent.", "Use another way in.");
  }
  const challenge = audience === null ? random(32) : await challengeOf([SIGN_IN, audience.origin, copy(audience.nonce)]);
  const credential = await asked(() =>
    navigator.credentials.get({
      publicKey: {
        challenge,
        rpId: location.hostname,
        allowCredentials: ours.map(({ credentialId }) => ({ type: "public-key", id: credentialId })),
        userVerification: "required",
        timeout: PATIENCE,
        extensions: { prf: { evalByCredential: evaluations(ours) } },
      },
    }),
  );
  const response = credential.response as AuthenticatorAssertionResponse;
  const rawId = copyOf(credential.rawId);
  const asWhich = ours.find(({ credentialId }) => equal(credentialId, rawId));
  if (asWhich === undefined) {
    throw new Failure("passkey.other-credential", "Another passkey answered than the ones that were asked.");
  }
  requireVerified(copyOf(response.authenticatorData));
  return {
    answer: { ...asWhich, output: prfOf(credential) },
    assertion: {
      rawId,
      attachment: credential.authenticatorAttachment,
      clientData: copyOf(response.clientDataJSON),
      authenticatorData: copyOf(response.authenticatorData),
      signature: copyOf(response.signature),
      userHandle: response.userHandle && copyOf(response.userHandle),
    },
  };
}

/** A passkey that was just made: what a server registers, and what an enrolment is made with. */
export interface MadePasskey {
  readonly registration: Registration;
  readonly answer: PasskeyAnswer;
}

/**
 * Make a passkey for a member (R-PASSKEY-11). Where the authenticator evaluates only later, it is asked
 * a second time. Fails like `askPasskey`.
 */
export async function makePasskey(
  member: { readonly memberId: Uint8Array; readonly name: string },
  exclude: readonly Uint8Array[],
  audience: Audience,
): Promise<MadePasskey> {
  const salt = random(PRF_SALT_SIZE);
  const memberId = copy(member.memberId);
  const challenge = await challengeOf([REGISTRATION, audience.origin, memberId, copy(audience.nonce)]);
  const credential = await asked(() =>
    navigator.credentials.create({
      publicKey: {
        challenge,
        rp: { id: location.hostname, name: document.title },
        user: { id: concat(memberId, random(16)), name: member.name, displayName: member.name },
        pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: exclude.map((id) => ({ type: "public-key", id: copy(id) })),
        authenticatorSelection: { userVerification: "required", residentKey: "preferred" },
        attestation: "none",
        timeout: PATIENCE,
        extensions: { prf: { eval: { first: salt } } },
      },
    }),
  );
  const { prf } = credential.getClientExtensionResults();
  if (prf?.enabled !== true) throw noPrf();
  const response = credential.response as AuthenticatorAttestationResponse;
  requireVerified(copyOf(response.getAuthenticatorData()));
  const credentialId = copyOf(credential.rawId);
  const parameters = { rpId: location.hostname, credentialId, salt };
  const first = prf.results?.first;
  return {
    registration: {
      rawId: credentialId,
      attachment: credential.authenticatorAttachment,
      clientData: copyOf(response.clientDataJSON),
      attestation: copyOf(response.attestationObject),
      transports: response.getTransports(),
    },
    answer: first === undefined ? (await askPasskey([parameters], null)).answer : { ...parameters, output: copyOf(first) },
  };
}

async function challengeOf(items: readonly (string | Bytes)[]): Promise<Bytes> {
  return sha256(encode(items));
}

function evaluations(known: readonly PasskeyParameters[]): Record<string, { first: Bytes }> {
  return Object.fromEntries(known.map(({ credentialId, salt }) => [base64url(credentialId), { first: salt }]));
}

function prfOf(credential: PublicKeyCredential): Bytes {
  const first = credential.getClientExtensionResults().prf?.results?.first;
  if (first === undefined) throw noPrf();
  return copyOf(first);
}

/** The flag "user verified" of authenticator data: bit 2 after the 32 bytes of the hash (WebAuthn 6.1). */
function requireVerified(authenticatorData: Uint8Array): void {
  if ((authenticatorData[32]! & 4) === 0) {
    throw new Failure(
      "passkey.not-verified",
      "The authenticator did not check that it is you.",
      "Set up a PIN, fingerprint or face on it.",
    );
  }
}

async function asked(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  let credential: Credential | null;
  try {
    credential = await ask();
  } catch (error) {
    const isThere = error instanceof DOMException && error.name === "InvalidStateError";
    throw isThere
      ? new Failure("passkey.exists", "This authenticator has a passkey of yours already.", "Use it, or another authenticator.")
      : new Failure("passkey.cancelled", "No passkey answered.", "Try again, or use another way in.");
  }
  return credential as PublicKeyCredential;
}

function noPrf(): Failure {
  return new Failure(
    "passkey.no-prf",
    "This authenticator can sign in, but not unlock: it has no pseudo-random function.",
    "Use another authenticator, such as a newer security key or this computer's own.",
  );
}

function copyOf(source: BufferSource): Bytes {
  const view = ArrayBuffer.isView(source) ? source : new Uint8Array(source);
  return new Uint8Array(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}

/** Without padding (RFC 4648 section 5). */
export function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
