// Following groups: replaying what the server sends against what this agent has pinned (R-AGENT-2).

import { equal, hex, type Bytes } from "./bytes.ts";
import { TwinlockError } from "./errors.ts";
import { decodeSignedEntry } from "./membership/entry.ts";
import { replay } from "./membership/log.ts";
import type { GroupState } from "./membership/state.ts";
import type { GroupBundle, GroupHead, GroupNews } from "./request.ts";
import { knownGroup, type KnownGroup, type MemberState } from "./state.ts";
import { logPoint, verifyDirectory, type Directory } from "./statements.ts";

/** The token directory and every group that is now known, by id in hexadecimal. */
export interface Followed {
  readonly directory: Directory;
  readonly groups: ReadonlyMap<string, KnownGroup>;
}

/**
 * Verify directory and new log entries. `state` is not changed.
 *
 * Groups are known through an invitation, the member's own list, or from before; those in `also` (ids in hexadecimal) are
 * taken on first use, marked as not verified.
 *
 * Throws `group.not-invited`, `agent.no-identity`, `log.*`, `directory.*` or `data.not-authentic`.
 */
export async function follow(
  state: MemberState,
  bundle: GroupBundle,
  now: number,
  also: ReadonlySet<string>,
): Promise<Followed> {
  const directory = await readDirectory(state, bundle, now, also);
  const logKey = await logPoint(directory);
  const groups = new Map(state.groups);
  for (const log of bundle.news) {
    groups.set(hex(log.groupId), await advance(state, log, logKey, also));
  }
  return { directory, groups };
}

/** Check that the heads a request names are the ones that were replayed. Throws `log.fork`. */
export function checkHeads(
  groups: ReadonlyMap<string, KnownGroup>,
  heads: readonly GroupHead[],
): void {
  for (const { groupId, seq, head } of heads) {
    const group = groups.get(hex(groupId))?.state;
    if (group === undefined || group.seq !== seq || !equal(group.head, head)) throw forked();
  }
}

/**
 * Throw `member.keys-retired` where a log gives this member another signing key: so it is after the
 * member revoked a factor on another device.
 */
export function requirePresentKeys(groups: Iterable<KnownGroup>, memberId: Bytes, signingKey: Bytes): void {
  for (const { state } of groups) {
    const membership = state.members.get(hex(memberId));
    if (membership === undefined || equal(membership.member.signingPublic, signingKey)) continue;
    throw new TwinlockError(
      "member.keys-retired",
      "This member has made new keys since; what was unlocked here are the old ones.",
      "Unlock with a present way in; `twinlock member recover` sets it up here.",
    );
  }
}

async function readDirectory(
  state: MemberState,
  bundle: GroupBundle,
  now: number,
  also: ReadonlySet<string>,
): Promise<Directory> {
  const { deploymentId, identity } = state;
  if (identity === null) {
    throw new TwinlockError(
      "agent.no-identity",
      "This member has pinned no token yet.",
      "Accept an invitation, or create the member with the deployment's card.",
    );
  }
  try {
    return await verifyDirectory(bundle.directory, { deploymentId, fingerprint: identity, now });
  } catch (error) {
    if (!(error instanceof TwinlockError) || error.code !== "directory.identity") throw error;
    // A new identity key counts when the group's admins signed it into the log that this agent
    // already follows, never because the old identity key vouches for it (R-LOG-23).
    const fingerprint = await successor(state, bundle.news, also);
    if (fingerprint === undefined) throw error;
    return verifyDirectory(bundle.directory, { deploymentId, fingerprint, now });
  }
}

async function successor(
  state: MemberState,
  logs: readonly GroupNews[],
  also: ReadonlySet<string>,
): Promise<Bytes | undefined> {
  const named = new Map<string, Bytes>();
  for (const log of logs) {
    if (state.groups.get(hex(log.groupId))?.verified !== true) continue;
    const { identity } = (await advance(state, log, undefined, also)).state.founding;
    named.set(hex(identity), identity);
  }
  return named.size === 1 ? [...named.values()][0] : undefined;
}

async function advance(
  state: MemberState,
  log: GroupNews,
  logKey: Bytes | undefined,
  also: ReadonlySet<string>,
): Promise<KnownGroup> {
  const id = hex(log.groupId);
  const { deploymentId } = state;
  const known = state.groups.get(id);
  if (known !== undefined) {
    const entries = await unseen(known.state, log);
    if (entries.length === 0) return known;
    const start = known.state;
    return replayed(log, replay(entries, { deploymentId, start, logKey }), known.verified);
  }
  const own = state.listed?.groups.find(({ groupId }) => equal(groupId, log.groupId));
  const pin = state.accepted.get(id) ?? own;
  if (pin !== undefined) {
    return replayed(log, replay(log.entries, { deploymentId, logKey, pin }), true);
  }
  if (!also.has(id)) {
    throw new TwinlockError(
      "group.not-invited",
      "This request concerns a group that this member was never invited to.",
      "Ask an admin of the group for an invitation, outside the server.",
    );
  }
  return replayed(log, replay(log.entries, { deploymentId, logKey }), false);
}

/**
 * Leave out what this agent followed since it said how far it is: a request seen twice, or news that
 * came by another way. Throws `log.fork` if that is not what it followed.
 */
async function unseen(state: GroupState, log: GroupNews): Promise<Bytes[]> {
  const entries: Bytes[] = [];
  for (const raw of log.entries) {
    const { entry, head } = await decodeSignedEntry(raw);
    if (entry.seq > state.seq) entries.push(raw);
    else if (entry.seq === state.seq && !equal(head, state.head)) throw forked();
  }
  return entries;
}

async function replayed(
  log: GroupNews,
  replaying: Promise<GroupState>,
  verified: boolean,
): Promise<KnownGroup> {
  const state = await replaying;
  if (!equal(state.groupId, log.groupId)) {
    throw new TwinlockError(
      "log.wrong-group",
      "The server sent the log of another group.",
      "Ask for a new request; if it happens again, tell an admin.",
    );
  }
  return knownGroup(state, verified);
}

function forked(): TwinlockError {
  return new TwinlockError(
    "log.fork",
    "The server works with another state of a group than the log that it sent.",
    "Do not release anything. Compare the group's fingerprint with an admin.",
  );
}
