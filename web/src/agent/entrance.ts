// Into the agent: with what this device keeps, with the files that were chosen, or with a name.

import type { WorkerEngine } from "./engine.ts";
import { Failure } from "./failure.ts";
import { complete, type Complete, type Entering, type SignInTo } from "./opening.ts";
import type { Kept } from "./store.ts";
import type { MemberShown } from "./types.ts";

/** Who enters: by name, with files, or, without either, as whom this device keeps. */
export interface Unlocking extends Entering {
  readonly name: string | null;
  readonly files: Omit<Kept, "name"> | null;
}

/** The unlocked member, and what this device keeps of it from now on. */
export interface Opened {
  readonly complete: Complete;
  readonly member: MemberShown;
  readonly kept: Kept;
}

/** Unlock; with `signIn` one touch signs in there, too. Fails with `agent.*`, `factor.*`, `passkey.*` and others. */
export function enter(engine: WorkerEngine, kept: Kept | null, who: Unlocking, signIn: SignInTo | null): Promise<Opened> {
  const used = kept ?? who.files;
  if (used !== null) return reopen(engine, used, who, signIn);
  if (who.name !== null) return arrive(engine, who.name, who, signIn);
  throw new Failure("agent.files", "This device was forgotten.", "Reload this page.");
}

async function reopen(
  engine: WorkerEngine,
  used: Omit<Kept, "name">,
  entered: Entering,
  signIn: SignInTo | null,
): Promise<Opened> {
  const completed = await complete(entered, await engine.look(used.state), used.deviceKeyFile, signIn);
  const member = await engine.unlock(used.state, completed.way, completed.secrets);
  return { complete: completed, member, kept: { ...used, name: member.name } };
}

/** Fetch a member's way in by name, unlock it, and fetch the rest. */
async function arrive(engine: WorkerEngine, name: string, entered: Entering, signIn: SignInTo | null): Promise<Opened> {
  const completed = await complete(entered, await engine.meet(name, entered.kinds), null, signIn);
  const { member, state } = await engine.arrive(completed.secrets);
  return { complete: completed, member, kept: { name: member.name, state, deviceKeyFile: completed.secrets.deviceKeyFile ?? null } };
}
