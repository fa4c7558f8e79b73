// What not every unlocking needs, in a file that is fetched when it is: hardened passwords, SCRAM,
// recovery codes, arriving with a name, and changing one's ways in.

import { Agent } from "../core/agent.ts";
import { arrive } from "../core/arrival.ts";
import { copy, fromHex, type Bytes } from "../core/bytes.ts";
import { parseDeploymentCard, type Deployment } from "../core/deployment.ts";
import type { EnrollableFactor } from "../core/factors/factor.ts";
import { passwordFactor } from "../core/factors/password.ts";
import { newRecoveryCode, recoveryCodeFactor } from "../core/factors/recovery-code.ts";
import { scramFactor, takeScramParameters } from "../core/factors/scram.ts";
import { hardeningBy, type HardeningService } from "../core/hardening/service.ts";
import { decodeMemberBundle, requestOfBundle, type MemberBundle } from "../core/member-bundle.ts";
import { random } from "../core/primitives.ts";
import { begin } from "../core/scram/exchange.ts";
import { lockedWays } from "../core/state.ts";
import { prepareDrop, prepareEnrolment, takeBundle, type Inside, type PreparedChange } from "../core/ways.ts";
import { Failure } from "./failure.ts";
import type { Outside } from "./outside.ts";
import { presentFactors } from "./present.ts";
import type { LockedWay, Secrets, WayAsked } from "./types.ts";

const now = (): number => Math.floor(Date.now() / 1000);

/** The factors that `presentFactors` leaves to this file. */
export async function otherFactors(secrets: Secrets, name: string, outside: Outside): Promise<EnrollableFactor[]> {
  const { password, scram, recoveryCode } = secrets;
  const factors: EnrollableFactor[] = [];
  if (password) {
    const hardening = hardeningBy(await deploymentOf(outside), serviceFor(name, outside), now);
    factors.push(passwordFactor(password, hardening));
  }
  if (scram) factors.push(scramFactor(scram));
  if (recoveryCode) factors.push(recoveryCodeFactor(recoveryCode));
  return factors;
}

// --- arriving ----------------------------------------------------------------------------------

/** One enrolment of a member, fetched by name, and what opens it. */
export interface Met {
  readonly bundle: MemberBundle;
  readonly ways: readonly LockedWay[];
}

/** Fetch one enrolment of a member. A name that is no member's gets one that nothing opens. */
export async function meet(name: string, kinds: readonly string[], outside: Outside): Promise<Met> {
  const { deploymentId } = await deploymentOf(outside);
  const { bundle } = await outside.fetch({ want: "bundle", name, kinds });
  const decoded = decodeMemberBundle(copy(bundle), deploymentId);
  return { bundle: decoded, ways: lockedWays(decoded.enrolments) };
}

/** Unlock what was met, verify the rest, and follow the member's groups. */
export async function arriveAs({ bundle }: Met, secrets: Secrets, outside: Outside): Promise<Agent> {
  const factors = await presentFactors(secrets, bundle.name, outside);
  const arrived = await arrive(bundle, factors, {
    deployment: await deploymentOf(outside),
    now: now(),
    fetchAll: async (request) => copy((await outside.fetch({ want: "everything", request })).bundle),
  });
  const agent = Agent.arrived(arrived);
  await follow(agent, outside);
  return agent;
}

/** Bring an agent up to date with its groups: what it signs has to follow what is there. */
async function follow(agent: Agent, outside: Outside): Promise<void> {
  const hello = await agent.hello(null);
  const request = await bundleRequest(agent);
  await agent.follow((await outside.fetch({ want: "groups", hello, request })).bundle);
}

function bundleRequest(agent: Agent): Promise<Bytes> {
  return agent.inside(({ state, keys }) => requestOfBundle(state, keys, now()));
}

// --- ways in -----------------------------------------------------------------------------------

/** Draw a recovery code, as it is printed. */
export function drawRecoveryCode(): Promise<string> {
  return newRecoveryCode(random);
}

/** Make a way in, once the server has taken it. */
export async function enrol(agent: Agent, present: Secrets, way: WayAsked, outside: Outside): Promise<void> {
  const insteadOf = way.insteadOf === null ? null : fromHex(way.insteadOf);
  const opening = await presentFactors(present, agent.name, outside);
  const given = await presentFactors(way.secrets, agent.name, outside);
  const factors = way.kinds.flatMap((kind) => given.find((factor) => factor.kind === kind) ?? []);
  if (factors.length !== way.kinds.length || factors.length !== given.length) {
    throw new Failure("factor.set", "Something of the new way in is missing.", "Give all that it consists of.");
  }
  const logins = way.login === null ? [] : [["passkey", copy(way.login)] as const];
  const prepare = (inside: Inside): Promise<PreparedChange> =>
    prepareEnrolment(inside, opening, { factors, label: way.label, logins }, { insteadOf });
  await change(agent, prepare, outside);
}

/** Let a way in no longer count, once the server has taken that. */
export async function drop(agent: Agent, way: string, outside: Outside): Promise<void> {
  await change(agent, (inside) => prepareDrop(inside, fromHex(way)), outside);
}

async function change(agent: Agent, prepare: (inside: Inside) => Promise<PreparedChange>, outside: Outside): Promise<void> {
  await follow(agent, outside);
  const prepared = await agent.inside(prepare);
  try {
    await outside.fetch({ want: "change", change: prepared.change });
  } catch (error) {
    if (error instanceof Failure && error.code === "enrolment.list-stale") throw await caughtUp(agent, outside, error);
    throw error;
  }
  await agent.inside(async () => prepared.apply());
}

/** Another device changed the ways in meanwhile: take its list, and say so. */
async function caughtUp(agent: Agent, outside: Outside, error: Failure): Promise<Failure> {
  const { bundle } = await outside.fetch({ want: "everything", request: await bundleRequest(agent) });
  await agent.inside((inside) => takeBundle(inside, copy(bundle)));
  return new Failure(error.code, "Your ways in were changed on another device.", "They are up to date now: look, and try again.");
}

// --- SCRAM -------------------------------------------------------------------------------------

/** Sign in by an exchange, with the salt and count that a way in pins (R-SCRAM-3). */
export async function signInByScram(agent: Agent, secrets: Secrets, outside: Outside): Promise<void> {
  const pinned = await agent.inside(async ({ state }) => {
    return state.enrolments.flatMap(({ factors }) => factors).find(({ kind }) => kind === "scram")?.parameters;
  });
  if (pinned === undefined) throw new Failure("factor.missing", "This way in has no SCRAM password.");
  const parameters = takeScramParameters(pinned);
  const start = begin(agent.name, random);
  const { message } = await outside.fetch({ want: "scram-first", message: start.first });
  const keys = await scramFactor(secrets.scram ?? "").keys(parameters);
  const proof = await start.prove(message, parameters, keys);
  proof.accept((await outside.fetch({ want: "scram-final", message: proof.final })).message);
}

// --- the token ---------------------------------------------------------------------------------

/** Which token this deployment has. Fails with `agent.no-deployment` or `deployment.card-malformed`. */
async function deploymentOf({ card }: Outside): Promise<Deployment> {
  if (card !== "") return parseDeploymentCard(card);
  throw new Failure(
    "agent.no-deployment",
    "This agent does not know its deployment's token, and so cannot check what it answers.",
    "Whoever runs the agent's site gives it the deployment's card.",
  );
}

function serviceFor(account: string, outside: Outside): HardeningService {
  return {
    offer: async () => {
      const { kid, statements } = await outside.fetch({ want: "offer", account });
      return { kid: copy(kid), directory: statements.map(([raw, signature]) => ({ raw: copy(raw), signature: copy(signature) })) };
    },
    evaluate: async (kid, first, second): Promise<readonly [Bytes, Bytes]> => {
      const told = await outside.fetch({ want: "evaluate", account, kid, first, second });
      return [copy(told.first), copy(told.second)];
    },
  };
}
