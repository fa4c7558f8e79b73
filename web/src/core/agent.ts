// The agent: a member's side of a release. It needs no token, no PIN and no database.

import { copy, equal, hex, type Bytes } from "./bytes.ts";
import type { Arrived } from "./arrival.ts";
import { askedByGroup, countByGroup, openAll, wrapAll, type OpenedLock } from "./answer.ts";
import { encodeContext } from "./context.ts";
import { memberKeys, unlockAny, type MemberKeys } from "./enrolment.ts";
import { lockedAgent, TwinlockError } from "./errors.ts";
import { checkExpected, checkFresh, examine, SESSION_LIFE, type ExaminedRequest } from "./examine.ts";
import { follow, requirePresentKeys } from "./follow.ts";
import { GroupKeys } from "./group-keys.ts";
import { Limits, textOf, type Reason } from "./limits.ts";
import { headOf } from "./membership/log.ts";
import { factorsOf, type AgentOptions, type AgentStatus, type Releasing, type Unlocking } from "./options.ts";
import { random, sha256 } from "./primitives.ts";
import { encodeRelease, signMessage } from "./release.ts";
import { decodeBundle, decodeGroupBundle, encodeHello } from "./request.ts";
import { shownGroup, shownRequest, type Examined, type GroupShown, type WayShown } from "./shown.ts";
import {
  decodeLocked,
  encodeMemberState,
  listedWays,
  unlockState,
  type AgentSession,
  type KnownGroup,
  type MemberState,
} from "./state.ts";
import type { Inside } from "./ways.ts";

const SESSION_RENEWAL = SESSION_LIFE / 2;
const KEPT_SESSIONS = 8;

/** A member's unlocked agent. Calls may overlap; those that change its state take turns. */
export class Agent {
  readonly #state: MemberState;
  #keys: MemberKeys | null;
  readonly #groupKeys: GroupKeys;
  readonly #limits: Limits;
  readonly #clock: () => number;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(state: MemberState, keys: MemberKeys, options: AgentOptions) {
    this.#state = state;
    this.#keys = keys;
    this.#groupKeys = new GroupKeys(state.memberId, keys);
    this.#limits = new Limits(state.ledger, options.placement, options.budgetPerHour);
    this.#clock = options.clock ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Unlock a member. A passphrase takes a second or two.
   *
   * Throws `factor.*`, `key-file.damaged`, `format.*`, `agent.state-damaged`,
   * `agent.kem-unsupported` or `agent.browser`.
   */
  static async unlock(options: Unlocking): Promise<Agent> {
    const locked = decodeLocked(copy(options.state));
    const { enrolmentId } = options;
    const tried = locked.enrolments.filter((e) => enrolmentId === undefined || equal(e.enrolmentId, enrolmentId));
    const { seed, enrolment } = await unlockAny(tried, await factorsOf(options));
    const keys = await memberKeys(seed, enrolment.kem);
    return new Agent(await unlockState(locked, keys), keys, options);
  }

  /** The agent of a member who just arrived here (arrival.ts). */
  static arrived({ state, keys }: Arrived, options: AgentOptions = {}): Agent {
    return new Agent(state, keys, options);
  }

  /** The member's name. */
  get name(): string {
    return this.#state.name;
  }

  /** The member's 16-byte id. */
  get memberId(): Bytes {
    return copy(this.#state.memberId);
  }

  /** The groups that this agent follows. */
  get groups(): GroupShown[] {
    const now = this.#clock();
    return [...this.#state.groups].map(([id, known]) =>
      shownGroup(known, this.#state.memberId, {
        limit: this.#limits.limit(known.state.policy),
        used: this.#state.ledger.withinHour(id, now),
      }),
    );
  }

  /** The member's ways in that count, oldest first. */
  get ways(): WayShown[] {
    const here = new Set(this.#state.enrolments.map(({ enrolmentId }) => hex(enrolmentId)));
    return listedWays(this.#state).map(({ enrolmentId, kinds, label, made, atServer }) => {
      return { id: hex(enrolmentId), kinds, label, made: Number(made), atServer, isHere: here.has(hex(enrolmentId)) };
    });
  }

  /** This agent's counters and, per followed group, its budget. */
  status(): AgentStatus {
    const groups = this.groups.map(({ id, budget }) => ({ id, ...budget }));
    return { releases: this.#state.counter, groups };
  }

  /** Forget the keys; everything that is under way fails with `agent.locked`. */
  lock(): void {
    this.#keys = null;
    this.#groupKeys.forget();
  }

  /** The state's bytes now, to be stored; the program reads them too (R-AGENT-8). */
  state(): Promise<Bytes> {
    return this.#exclusively(() => encodeMemberState(this.#state, this.#unlocked()));
  }

  /** Do what reads or changes the member's state and ways in (ways.ts), in its turn. */
  inside<T>(work: (inside: Inside) => Promise<T>): Promise<T> {
    return this.#exclusively(() => work({ state: this.#state, keys: this.#unlocked(), now: this.#clock() }));
  }

  // --- sessions and groups -------------------------------------------------------------------

  /**
   * Open a session, or continue it, and return what the server needs to ask this agent.
   *
   * `session`: the bytes of the application's login session, null where there is none.
   */
  async hello(session: Uint8Array | null): Promise<Bytes> {
    const wanted = session === null ? null : await sha256(session);
    return this.#exclusively(async () => {
      this.#unlocked();
      const { nonce, sessionHash } = await this.#session(wanted);
      return encodeHello({
        deploymentId: this.#state.deploymentId,
        memberId: this.#state.memberId,
        agentNonce: nonce,
        sessionHash,
        heads: [...this.#state.groups.values()].map((known) => headOf(known.state)),
        placement: this.#limits.placement,
      });
    });
  }

  /** Take group news: verify them, pin the new heads, keep the sealed keys. Throws `log.*` etc. */
  async follow(groupBundle: Uint8Array): Promise<void> {
    const bundle = decodeGroupBundle(groupBundle);
    await this.#exclusively(async () => {
      const { signing } = this.#unlocked();
      const { directory, groups } = await follow(this.#state, bundle, this.#clock(), new Set());
      requirePresentKeys(groups.values(), this.#state.memberId, signing.public);
      this.#keep(groups, directory.fingerprint);
      this.#groupKeys.receive(bundle.keys);
    });
  }

  // --- requests ------------------------------------------------------------------------------

  /** Check a request and say what it asks for. Opens nothing. Throws like `release`. */
  async examine(bundle: Uint8Array): Promise<Examined> {
    const examined = await this.#examine(bundle);
    return shownRequest(examined, this.#reasons(examined, askedByGroup(examined)).map(textOf));
  }

  /**
   * Answer a request: open each record's lock and send its release key to the token.
   *
   * Nothing is counted unless everything succeeds. The new `state` has to be stored before the
   * release is handed out (R-AGENT-7).
   *
   * Throws `request.*`, `transport.*`, `log.*`, `group.*`, `release.*` or `data.not-authentic`.
   */
  async release(bundle: Uint8Array, options: Releasing = {}): Promise<Bytes> {
    const examined = await this.#examine(bundle);
    if (options.expect !== undefined) {
      const { deploymentId } = this.#state;
      const expected = options.expect.map((context) => encodeContext(context, deploymentId));
      checkExpected(examined.records, expected);
    }
    const counts = countByGroup(examined);
    const opened = await openAll(examined, this.#groupKeys);
    const approved = new Set<string>();
    for (;;) {
      await this.#askFor(examined, counts, approved, options);
      // Another release may have used the budget while the member looked: then ask anew.
      const release = await this.#exclusively(async () => {
        const unasked = this.#reasons(examined, counts).filter((r) => !approved.has(r.groupId));
        return unasked.length > 0 ? null : this.#sign(examined, opened, counts);
      });
      if (release !== null) return release;
    }
  }

  async #askFor(
    examined: ExaminedRequest,
    counts: ReadonlyMap<string, number>,
    approved: Set<string>,
    { approve }: Releasing,
  ): Promise<void> {
    const reasons = this.#reasons(examined, counts);
    for (const { groupId, text } of reasons) {
      if (approved.has(groupId)) continue;
      if (!(await approve?.(shownRequest(examined, reasons.map(textOf)), text))) {
        throw new TwinlockError(
          "release.needs-approval",
          `This release needs the member's own decision: ${text}.`,
          "Look at what is asked, then approve it explicitly.",
        );
      }
      approved.add(groupId);
    }
  }

  #examine(bundle: Uint8Array): Promise<ExaminedRequest> {
    const decoded = decodeBundle(bundle);
    return this.#exclusively(async () => {
      this.#unlocked();
      const examined = await examine(this.#state, decoded, this.#clock());
      this.#keep(examined.groups, examined.identity);
      this.#groupKeys.receive(decoded.keys);
      return examined;
    });
  }

  #reasons(examined: ExaminedRequest, counts: ReadonlyMap<string, number>): Reason[] {
    return this.#limits.reasons(examined.groups, counts, this.#clock());
  }

  async #sign(
    examined: ExaminedRequest,
    opened: readonly OpenedLock[],
    counts: ReadonlyMap<string, number>,
  ): Promise<Bytes> {
    const now = this.#clock();
    checkFresh(examined.message, now);
    const { signing } = this.#unlocked();
    const state = this.#state;
    const { block, items } = await wrapAll(opened, examined.transport);
    const release = encodeRelease({
      deploymentId: state.deploymentId,
      requestDigest: examined.digest,
      memberId: state.memberId,
      signingKid: signing.kid,
      transportKid: examined.message.transportKid,
      transportDigest: examined.message.transportDigest,
      time: now,
      counter: state.counter + 1,
      previous: state.previous,
      auditHead: examined.auditHead,
      block,
      items,
    });
    const signed = await signMessage(release, signing);
    const digest = await sha256(signed);
    this.#unlocked();
    // Booked as a whole, and before it is handed out: a failure can only count too much.
    state.counter += 1;
    state.previous = digest;
    state.auditHead = examined.auditHead;
    state.ledger.spend(counts, now);
    return signed;
  }

  // --- state ---------------------------------------------------------------------------------

  async #session(wanted: Bytes | null): Promise<AgentSession> {
    const now = this.#clock();
    const { sessions } = this.#state;
    const found = sessions.find(({ begun, sessionHash }) => {
      const young = begun <= now && now < begun + SESSION_RENEWAL;
      return young && (wanted === null || equal(wanted, sessionHash));
    });
    if (found !== undefined) return found;
    const nonce = random(32);
    const begun = { nonce, sessionHash: wanted ?? (await sha256(nonce)), begun: now };
    // One begun in the future is left from before the clock was set back: none could use it.
    const alive = sessions.filter((s) => s.begun <= now && now <= s.begun + SESSION_LIFE);
    this.#state.sessions = [...alive.slice(1 - KEPT_SESSIONS), begun];
    return begun;
  }

  #keep(groups: ReadonlyMap<string, KnownGroup>, identity: Bytes): void {
    for (const [id, known] of groups) {
      if (!known.verified) continue;
      this.#state.groups.set(id, known);
      this.#state.accepted.delete(id);
    }
    this.#state.identity = identity;
  }

  /** Run one after another what reads and changes the state, so that pins never go back. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #unlocked(): MemberKeys {
    if (this.#keys === null) throw lockedAgent();
    return this.#keys;
  }
}
