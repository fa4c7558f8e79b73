// From what a member entered to what opens: the device's own key file, and the touch of a passkey.

import { equal } from "../core/bytes.ts";
import type { Assertion } from "./carrying.ts";
import { Failure } from "./failure.ts";
import { askPasskey, type Audience } from "./passkeys.ts";
import type { LockedWay, PasskeyParameters, Secrets } from "./types.ts";

/** What a member entered for a way in of these kinds. */
export interface Entering {
  readonly kinds: readonly string[];
  readonly secrets: Secrets;
}

/** What opens now. `way`: the one that it opens, where that is known; `assertion`: of its passkey. */
export interface Complete {
  readonly secrets: Secrets;
  readonly way: string | null;
  readonly assertion: Assertion | null;
}

/** Where an application waits to be signed in to, and the passkeys that its server knows, if it said so. */
export interface SignInTo extends Audience {
  readonly allow: readonly Uint8Array[];
}

/**
 * Complete what was entered for one of `ways`. With `signIn` the touch of a passkey signs in there, too.
 *
 * Fails with `agent.files`, or like `askPasskey`.
 */
export async function complete(
  { kinds, secrets }: Entering,
  ways: readonly LockedWay[],
  deviceKeyFile: Uint8Array | null,
  signIn: SignInTo | null,
): Promise<Complete> {
  const key = secrets.deviceKeyFile ?? deviceKeyFile;
  if (kinds.includes("device-key") && key === null) {
    throw new Failure("agent.files", "Please choose your device key file first.", "It is NAME.key.");
  }
  const given = kinds.includes("device-key") ? { ...secrets, deviceKeyFile: key! } : secrets;
  if (!kinds.includes("passkey")) return { secrets: given, way: null, assertion: null };
  const fitting = ways.filter((way) => way.kinds.join() === kinds.join());
  const known = fitting.flatMap(({ passkey }) => passkey ?? []).filter((passkey) => isAllowed(passkey, signIn));
  const { answer, assertion } = await askPasskey(known, signIn);
  const way = fitting.find(({ passkey }) => passkey !== null && equal(passkey.credentialId, answer.credentialId));
  return { secrets: { ...given, passkey: answer }, way: way?.id ?? null, assertion };
}

/** A server that was told no name knows nobody's passkeys, and allows all. */
function isAllowed({ credentialId }: PasskeyParameters, signIn: SignInTo | null): boolean {
  const allow = signIn?.allow ?? [];
  return allow.length === 0 || allow.some((id) => equal(id, credentialId));
}
