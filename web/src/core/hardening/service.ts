/** How a password's hardening reaches a server that nobody believes (SPEC 24, R-HARD-6). */
import type { Bytes } from "../bytes.ts";
import type { Deployment } from "../deployment.ts";
import type { Hardening } from "../factors/password.ts";
import { hardeningPoint, verifyDirectory, type Statement } from "../statements.ts";

/** What a server hands out before an evaluation. Nothing of it is trusted. */
export interface HardeningOffer {
  /** The hardening key for a new enrolment. */
  readonly kid: Bytes;
  /** The token directory. */
  readonly directory: readonly Statement[];
}

/** The server's side of a password, as an agent reaches it for one account. */
export interface HardeningService {
  offer(): Promise<HardeningOffer>;
  /** x-coordinates of the key times both points, in their order. May throw `hardening.*`. */
  evaluate(kid: Bytes, first: Bytes, second: Bytes): Promise<readonly [Bytes, Bytes]>;
}

/** Hardening by the token that a deployment's card pins; `now` is in seconds since 1970. */
export function hardeningBy(deployment: Deployment, service: HardeningService, now: () => number): Hardening {
  let offered: Promise<HardeningOffer> | null = null;
  const offer = (): Promise<HardeningOffer> => (offered ??= service.offer());
  return {
    offer: async () => (await offer()).kid,
    pinned: async (kid) => {
      const known = { deploymentId: deployment.deploymentId, fingerprint: deployment.identity, now: now() };
      return hardeningPoint(await verifyDirectory((await offer()).directory, known), kid);
    },
    evaluate: (kid, first, second) => service.evaluate(kid, first, second),
  };
}
