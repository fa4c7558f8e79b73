// Adding to and taking from the ways in, as the member asked for it in the window.

import type { Carriers } from "./carriers.ts";
import type { WorkerEngine } from "./engine.ts";
import { Failure } from "./failure.ts";
import { makePasskey } from "./passkeys.ts";
import type { NextState, MemberShown, Secrets } from "./types.ts";

/** A way in that the member asked for. `insteadOf`: the id of the one that it changes. */
export type NewWay = { readonly label: string; readonly insteadOf: string | null } & (
  | { readonly make: "passkey" }
  | { readonly make: "secrets"; readonly kinds: readonly string[]; readonly secrets: Secrets }
);

/**
 * Make a way in with the application's page in between. The server looks at a new passkey first, and says
 * what the member has to sign of it. `present` opens one that counts already.
 */
export async function enrolWay(
  engine: WorkerEngine,
  carriers: Carriers,
  member: MemberShown,
  present: Secrets,
  way: NewWay,
): Promise<NextState> {
  const { label, insteadOf } = way;
  if (way.make === "secrets") return engine.enrol(present, { kinds: way.kinds, secrets: way.secrets, label, insteadOf, login: null });
  const { origin } = carriers;
  const { nonce, exclude } = await carriers.fetch<"register">({ want: "register", name: member.name });
  if (origin === null || origin !== carriers.origin) {
    throw new Failure("agent.page-silent", "Another page came to the front meanwhile.", "Try again.");
  }
  const made = await makePasskey(member, exclude, { origin, nonce });
  const { login } = await carriers.fetch<"registered">({ want: "registered", ...made.registration });
  return engine.enrol(present, { kinds: ["passkey"], secrets: { passkey: made.answer }, label, insteadOf, login });
}
