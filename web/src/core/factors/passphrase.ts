/** A passphrase: Argon2id of what was typed (R-FACTOR-4). */
import { takeItems } from "../cbor.ts";
import type { EnrollableFactor } from "./factor.ts";
import { newStretching, requireChoosable, stretch, takeStretching } from "./stretching.ts";

/** A passphrase. Its output is the same whatever the place. */
export function passphraseFactor(passphrase: string): EnrollableFactor {
  return {
    kind: "passphrase",
    newParameters: async (draw) => {
      requireChoosable(passphrase);
      return newStretching(draw);
    },
    output: async (parameters) => stretch(passphrase, takeStretching(takeItems(parameters, 4))),
  };
}
