// Examining a request: everything an agent checks before it opens a single lock. Nothing from the
// server is believed (R-AGENT-1 to R-AGENT-6).

import { equal, hex, type Bytes } from "./bytes.ts";
import { decodeContext, shownLine, type DecodedContext } from "./context.ts";
import { decodeCore, decodeHeader, type Core, type GroupLock, type LockHeader } from "./envelope.ts";
import { TwinlockError, unsupportedKem } from "./errors.ts";
import { checkHeads, follow, type Followed } from "./follow.ts";
import { KEM_NAMES, DHKEM_P256 } from "./points.ts";
import { sha256 } from "./primitives.ts";
import {
  decodeRequest,
  MAX_REQUEST_LIFE,
  type RequestBundle,
  type RequestItem,
  type RequestMessage,
} from "./request.ts";
import type { AgentSession, KnownGroup, MemberState } from "./state.ts";
import {
  CLOCK_SKEW,
  MAX_TRANSPORT_LIFE,
  verifyTransport,
  type TransportKey,
} from "./statements.ts";

/** Seconds in which a session's nonce bounds the age of transport keys. */
export const SESSION_LIFE = MAX_TRANSPORT_LIFE;

/** One DEK that is asked for. `ways`: the locks that this member opens alone, in order. */
export interface AskedRecord {
  readonly core: Core;
  readonly context: DecodedContext;
  readonly contextRaw: Bytes;
  readonly header: LockHeader;
  readonly ways: readonly GroupLock[];
  /** Ids of groups of this member that hold a share of an AND lock, in hexadecimal. */
  readonly shared: readonly string[];
}

/** A request whose statements all hold. What it asks for is for the member to judge. */
export interface ExaminedRequest {
  readonly digest: Bytes;
  readonly message: RequestMessage;
  readonly transport: TransportKey;
  readonly groups: ReadonlyMap<string, KnownGroup>;
  readonly records: readonly AskedRecord[];
  readonly auditHead: Bytes;
  readonly identity: Bytes;
}

/** Check a request for this member. Throws `request.*`, `transport.*`, `log.*` or `format.*`. */
export async function examine(
  state: MemberState,
  bundle: RequestBundle,
  now: number,
): Promise<ExaminedRequest> {
  const message = decodeRequest(bundle.request);
  checkAddressed(state, message.deploymentId, message.memberId);
  checkFresh(message, now);
  const headers = message.items.map((item) => decodeHeader(item.header));
  const followed = await follow(state, bundle, now, partners(headers));
  checkHeads(followed.groups, message.heads);
  const transport = await checkTransport(state, bundle, message, followed, now);
  const mine = ownGroups(state, followed.groups);
  const records = message.items.map((item, at) => askedRecord(state, item, headers[at]!, mine));
  checkTokens(records, followed);
  return {
    digest: await sha256(bundle.request),
    message,
    transport,
    groups: followed.groups,
    records,
    auditHead: bundle.auditHead,
    identity: followed.directory.fingerprint,
  };
}

/** Throw `request.expired` unless the request is valid now. */
export function checkFresh(message: RequestMessage, now: number): void {
  const { notAfter } = message;
  if (notAfter < now - CLOCK_SKEW || notAfter > now + MAX_REQUEST_LIFE + CLOCK_SKEW) {
    throw new TwinlockError(
      "request.expired",
      "This request is not valid now.",
      "Ask the server for a new one, and compare the clocks of both machines.",
    );
  }
}

/** Throw `request.unexpected` unless every context asked for is among `expected` encodings. */
export function checkExpected(records: readonly AskedRecord[], expected: readonly Bytes[]): void {
  const allowed = new Set(expected.map(hex));
  for (const { contextRaw, context } of records) {
    if (!allowed.has(hex(contextRaw))) {
      throw new TwinlockError(
        "request.unexpected",
        `The server asks for ${shownLine(context)}, which you did not ask for.`,
        "Do not release anything; tell an admin.",
      );
    }
  }
}

/**
 * The lock of a record that this agent opens.
 *
 * Throws `release.no-lock`, `release.share-missing` when only AND locks are left, or
 * `agent.kem-unsupported` when only the program opens it.
 */
export function wayInto(record: AskedRecord): GroupLock {
  const [first] = record.ways;
  const way = record.ways.find((lock) => lock.kem === DHKEM_P256);
  if (way !== undefined) return way;
  if (first !== undefined) throw unsupportedKem(KEM_NAMES[first.kem]);
  if (record.shared.length > 0) {
    throw new TwinlockError(
      "release.share-missing",
      "A record of this request needs a second member's share.",
      "Use the agent as a program: `twinlock release --help-request`, and then --share.",
    );
  }
  throw new TwinlockError(
    "release.no-lock",
    `No lock of ${shownLine(record.context)} opens with this member's groups.`,
    "Ask somebody who is a member of the record's group.",
  );
}

function checkAddressed(state: MemberState, deploymentId: Bytes, memberId: Bytes): void {
  if (!equal(memberId, state.memberId) || !equal(deploymentId, state.deploymentId)) {
    throw new TwinlockError(
      "request.not-mine",
      "This request is addressed to another member or deployment.",
      "Ask the server for a request of your own.",
    );
  }
}

async function checkTransport(
  state: MemberState,
  bundle: RequestBundle,
  message: RequestMessage,
  { directory }: Followed,
  now: number,
): Promise<TransportKey> {
  const session = sessionOf(state, message, now);
  const transport = await verifyTransport(bundle.transport, {
    identity: directory.identity,
    fingerprint: directory.fingerprint,
    deploymentId: state.deploymentId,
    agentNonce: session.nonce,
    now,
  });
  const { kid, digest } = transport;
  if (!equal(message.transportKid, kid) || !equal(message.transportDigest, digest)) {
    throw new TwinlockError(
      "transport.replaced",
      "The request names another transport key than the token stated.",
      "Do not release anything. The server may be in foreign hands; tell an admin.",
    );
  }
  return transport;
}

function sessionOf(state: MemberState, message: RequestMessage, now: number): AgentSession {
  const session = state.sessions.find(({ begun, sessionHash }) => {
    const alive = begun - CLOCK_SKEW <= now && now <= begun + SESSION_LIFE;
    return alive && equal(sessionHash, message.sessionHash);
  });
  if (session === undefined) {
    throw new TwinlockError(
      "request.session",
      "This request belongs to no session that this agent opened in the last two hours.",
      "Send the server a new hello and ask again.",
    );
  }
  return session;
}

/** Groups that only share an AND lock with one of ours: followed, but trusted with nothing. */
function partners(headers: readonly LockHeader[]): Set<string> {
  const ids = headers.flatMap(({ locks }) =>
    locks.flatMap((lock) => (lock.kind === "all" ? lock.groupIds : [])),
  );
  return new Set(ids.map(hex));
}

/** Ids of the verified groups that the member is in. */
function ownGroups(state: MemberState, groups: ReadonlyMap<string, KnownGroup>): Set<string> {
  const mine = [...groups].filter(
    ([, known]) => known.verified && known.state.membership(state.memberId) !== undefined,
  );
  return new Set(mine.map(([id]) => id));
}

function askedRecord(
  state: MemberState,
  item: RequestItem,
  header: LockHeader,
  mine: ReadonlySet<string>,
): AskedRecord {
  const context = decodeContext(item.context);
  if (!equal(context.deploymentId, state.deploymentId)) {
    throw new TwinlockError(
      "request.not-mine",
      "A record in this request belongs to another deployment.",
      "Do not release anything; tell an admin.",
    );
  }
  const ways = header.locks.flatMap((lock) =>
    lock.kind === "group" && mine.has(hex(lock.groupId)) ? [lock] : [],
  );
  const shared = [...partners([header])].filter((id) => mine.has(id));
  return { core: decodeCore(item.core), context, contextRaw: item.context, header, ways, shared };
}

/**
 * Check that every group asked for trusts this very token: one group's admins may vouch for a new
 * token, they must not speak for another group's records (R-AGENT-3).
 */
function checkTokens(records: readonly AskedRecord[], { directory, groups }: Followed): void {
  const asked = records.flatMap(({ ways, shared }) => [
    ...ways.map(({ groupId }) => hex(groupId)),
    ...shared,
  ]);
  for (const id of new Set(asked)) {
    const { founding, name } = groups.get(id)!.state;
    if (!equal(founding.identity, directory.fingerprint)) {
      throw new TwinlockError(
        "group.identity",
        `Group ${name} trusts another token than the one that asks here.`,
        "Do not release anything. Ask an admin whether the token was replaced.",
      );
    }
  }
}
