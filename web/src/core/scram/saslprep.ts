/**
 * SASLprep (RFC 4013) for Latin text: ASCII, the Latin blocks, the marks that combine with them, and
 * what printed text puts between. Its tables are those of Unicode 3.2, which browsers do not have, and the libraries that do
 * weigh more than this whole agent. In these blocks they come down to what stands here, which a test
 * compares with the full tables. Everything else is refused, never guessed at.
 */
import { badText } from "../factors/factor.ts";

/** Mapped to nothing: table B.1. */
const NOTHING = /[\u00ad\u034f]/g;
/** Mapped to a space: table C.1.2. */
const SPACES = /\u00a0/g;
/** What Unicode 3.2 assigned in these blocks, without control characters (C.2.1, C.2.2). */
const LATIN = /^[\x20-\x7e\u00a1-\u0220\u0222-\u0233\u0250-\u02ad\u02b0-\u02ee\u0300-\u033f\u0342\u0345-\u034e\u0360-\u036f\u1e00-\u1e9b\u1ea0-\u1ef9\u2010-\u2027\u20ac]+$/;

/** Return the prepared text. Throws `factor.passphrase-invalid`, also for other scripts. */
export function saslprep(text: string): string {
  const mapped = text.replace(NOTHING, "").replace(SPACES, " ");
  if (!LATIN.test(mapped)) {
    throw badText("With SCRAM, this agent takes Latin letters, digits and common signs; use the program for others.");
  }
  return mapped.normalize("NFKC");
}
