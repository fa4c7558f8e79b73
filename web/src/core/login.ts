/** Split login: an application's own login from the value that the token hardened (SPEC 26). */
import { utf8, type Bytes } from "./bytes.ts";
import { hkdfExpand, sha256 } from "./primitives.ts";

const LOGIN = utf8("twinlock/v1/login");
const VERIFIER = utf8("twinlock/v1/login-verifier");

/** The 32 bytes to log in with, from the output of the factor `password` (R-LOGIN-1). */
export function loginSecret(output: Bytes): Promise<Bytes> {
  return hkdfExpand(output, LOGIN);
}

/** The 32 bytes that a server keeps; without the token's hardening key they test no password. */
export function loginVerifier(memberId: Bytes, secret: Bytes): Promise<Bytes> {
  return sha256(VERIFIER, memberId, secret);
}
