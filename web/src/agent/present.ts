// What a member gave, as factors. Those that take little code are here; the others are fetched first.

import { deviceKeyFactor } from "../core/factors/device-key.ts";
import type { EnrollableFactor } from "../core/factors/factor.ts";
import { passkeyFactor } from "../core/factors/passkey.ts";
import { passphraseFactor } from "../core/factors/passphrase.ts";
import { decodeKeyFile } from "../core/keyfile.ts";
import { copy } from "../core/bytes.ts";
import type { Outside } from "./outside.ts";
import type { Secrets } from "./types.ts";

/** The factors of everything that is given; `name` is whom a server counts attempts for. */
export async function presentFactors(secrets: Secrets, name: string, outside: Outside): Promise<EnrollableFactor[]> {
  const { passphrase, deviceKeyFile, passkey, password, scram, recoveryCode } = secrets;
  const factors: EnrollableFactor[] = [];
  if (deviceKeyFile) factors.push(deviceKeyFactor(await decodeKeyFile("device-key", copy(deviceKeyFile))));
  if (passphrase) factors.push(passphraseFactor(passphrase));
  if (passkey) factors.push(passkeyFactor(passkey));
  if (password || scram || recoveryCode) {
    const { otherFactors } = await import("./more.ts");
    factors.push(...(await otherFactors(secrets, name, outside)));
  }
  return factors;
}
