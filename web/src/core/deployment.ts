/** The deployment's card: what its members pin, handed over outside the server (R-STMT-7). */
import { equal, fromHex, type Bytes } from "./bytes.ts";
import { TwinlockError } from "./errors.ts";
import { sha256 } from "./primitives.ts";

const TEXT = /^twinlock-deployment1:([0-9a-f]{104})$/;
const CHECK_SIZE = 4;

/** Which token, and whose it is. */
export interface Deployment {
  readonly deploymentId: Bytes;
  /** SHA-256 of the token's identity key. */
  readonly identity: Bytes;
}

/** Read the text form; white space is ignored. Throws `deployment.card-malformed`. */
export async function parseDeploymentCard(text: string): Promise<Deployment> {
  const [, digits] = TEXT.exec(text.replace(/\s+/g, "").toLowerCase()) ?? [];
  const raw = fromHex(digits ?? "");
  const body = raw.slice(0, -CHECK_SIZE);
  const check = (await sha256(body)).subarray(0, CHECK_SIZE);
  if (digits === undefined || !equal(raw.subarray(-CHECK_SIZE), check)) {
    throw new TwinlockError(
      "deployment.card-malformed",
      "This is not a complete deployment card.",
      "Copy it again from the first letter to the last.",
    );
  }
  return { deploymentId: body.slice(0, 16), identity: body.slice(16) };
}
