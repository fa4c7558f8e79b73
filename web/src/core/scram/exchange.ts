/**
 * The client's side of one exchange (RFC 5802 section 5, R-SCRAM-2 and R-SCRAM-3). A browser shows no
 * script the TLS connection, so that there is no channel binding here.
 */
import { equal, utf8, type Bytes } from "../bytes.ts";
import { TwinlockError } from "../errors.ts";
import type { Draw } from "../factors/factor.ts";
import { hmac } from "../primitives.ts";
import type { ScramKeys } from "./keys.ts";
import { saslprep } from "./saslprep.ts";

const NONCE_SIZE = 18;
const HEADER = "n,,";
const SERVER_FIRST = /^r=([\x21-\x2b\x2d-\x7e]{1,512}),s=([A-Za-z0-9+/]{1,128}={0,2}),i=([1-9][0-9]{0,9})$/;
const SERVER_FINAL = /^v=([A-Za-z0-9+/]{43}=)$/;

/** What a server says first. Nothing of it is trusted. */
export interface ScramOffer {
  readonly nonce: string;
  readonly salt: Bytes;
  readonly iterations: number;
}

/** An exchange under way; `first` is the client-first-message. */
export interface ScramStart {
  readonly first: string;
  /** Read the server-first-message. Throws `scram.message`. */
  read(serverFirst: string): ScramOffer;
  /**
   * Answer the server-first-message, if it names this salt and count, which are those of `keys`.
   * Throws `scram.message` or `scram.downgrade`.
   */
  prove(serverFirst: string, pinned: Pick<ScramOffer, "salt" | "iterations">, keys: ScramKeys): Promise<ScramProof>;
}

/** The client-final-message, and the check of what the server answers to it. */
export interface ScramProof {
  readonly final: string;
  /** Throws `scram.refused` where the server says no, `scram.server` where it cannot know the account. */
  accept(serverFinal: string): void;
}

/** Begin an exchange for an account's name. Throws `factor.passphrase-invalid`. */
export function begin(account: string, draw: Draw): ScramStart {
  const name = saslprep(account).replaceAll("=", "=3D").replaceAll(",", "=2C");
  const nonce = toBase64(draw(NONCE_SIZE));
  const bare = `n=${name},r=${nonce}`;
  const read = (serverFirst: string): ScramOffer => readOffer(serverFirst, nonce);
  return {
    first: HEADER + bare,
    read,
    async prove(serverFirst, pinned, keys) {
      const offer = read(serverFirst);
      if (!equal(offer.salt, pinned.salt) || offer.iterations !== pinned.iterations) {
        throw new TwinlockError(
          "scram.downgrade",
          "The server names another salt or iteration count than this enrolment pins.",
          "Stop: nothing was sent that depends on the password. Ask the operator why.",
        );
      }
      const unproved = `c=${toBase64(utf8(HEADER))},r=${offer.nonce}`;
      const signed = utf8([bare, serverFirst, unproved].join(","));
      const signature = await hmac(keys.storedKey, signed);
      const proof = keys.clientKey.map((byte, at) => byte ^ signature[at]!);
      const expected = await hmac(keys.serverKey, signed);
      return { final: `${unproved},p=${toBase64(proof)}`, accept: (message) => accept(message, expected) };
    },
  };
}

function readOffer(serverFirst: string, ours: string): ScramOffer {
  const [, nonce, salt, iterations] = SERVER_FIRST.exec(serverFirst) ?? [];
  const isLonger = nonce !== undefined && nonce.startsWith(ours) && nonce.length > ours.length;
  const bytes = salt === undefined ? null : fromBase64(salt);
  if (!isLonger || bytes === null) {
    throw new TwinlockError(
      "scram.message",
      "The server's message is none of a SCRAM exchange that this agent began.",
      "Try again; ask the operator if it stays so.",
    );
  }
  return { nonce, salt: bytes, iterations: Number(iterations) };
}

function accept(serverFinal: string, expected: Bytes): void {
  if (serverFinal.startsWith("e=")) {
    throw new TwinlockError(
      "scram.refused",
      "This name and this password do not belong together.",
      "Check both and try again.",
    );
  }
  const [, shown] = SERVER_FINAL.exec(serverFinal) ?? [];
  const value = shown === undefined ? null : fromBase64(shown);
  if (value === null || !equal(value, expected)) {
    throw new TwinlockError(
      "scram.server",
      "The server did not show that it knows this account.",
      "Stop: this may be another server. Ask the operator.",
    );
  }
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** The bytes of base64 with its padding, else null. */
function fromBase64(text: string): Bytes | null {
  if (text.length % 4 !== 0) return null;
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
