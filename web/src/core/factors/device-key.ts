/** A device key: 32 random bytes in a file on the member's own computer (R-FACTOR-5). */
import { concat, utf8, type Bytes } from "../bytes.ts";
import { takeBytes, takeItems } from "../cbor.ts";
import { hmac } from "../primitives.ts";
import { SALT_SIZE, type EnrollableFactor } from "./factor.ts";

const LABEL = utf8("twinlock/v1/device-key");

/** A device key of 32 bytes. Its output is the same whatever the place. */
export function deviceKeyFactor(key: Bytes): EnrollableFactor {
  return {
    kind: "device-key",
    newParameters: async (draw) => [draw(SALT_SIZE)],
    output: async (parameters) => {
      const [salt] = takeItems(parameters, 1);
      return hmac(key, concat(LABEL, takeBytes(salt, SALT_SIZE)));
    },
  };
}
