/** The keys of one password under one salt and iteration count (RFC 5802 section 3). */
import { utf8, type Bytes } from "../bytes.ts";
import { hmac, pbkdf2, sha256 } from "../primitives.ts";
import { saslprep } from "./saslprep.ts";

export const MIN_SALT = 12;
export const MAX_SALT = 64;
export const MIN_ITERATIONS = 600_000;
export const MAX_ITERATIONS = 10_000_000;

/** 32 bytes each. */
export interface ScramKeys {
  readonly clientKey: Bytes;
  readonly storedKey: Bytes;
  readonly serverKey: Bytes;
}

/** Throws `factor.passphrase-invalid`. */
export async function scramKeys(password: string, salt: Bytes, iterations: number): Promise<ScramKeys> {
  const salted = await pbkdf2(utf8(saslprep(password)), salt, iterations);
  const clientKey = await hmac(salted, utf8("Client Key"));
  const serverKey = await hmac(salted, utf8("Server Key"));
  return { clientKey, serverKey, storedKey: await sha256(clientKey) };
}
