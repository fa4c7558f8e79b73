// Answering a request: opening locks and wrapping release keys for the token.

import { hex, type Bytes } from "./bytes.ts";
import { wayInto, type AskedRecord, type ExaminedRequest } from "./examine.ts";
import type { GroupKeys } from "./group-keys.ts";
import { openLock } from "./locks.ts";
import { random, rsaEncrypt, sha256, wrapKeys } from "./primitives.ts";
import type { ReleaseItem } from "./release.ts";
import type { TransportKey } from "./statements.ts";

/** A record's release key, the lock that gave it, and the group it was opened for. */
export interface OpenedLock {
  readonly releaseKey: Bytes;
  readonly dekId: Bytes;
  readonly lockDigest: Bytes;
}

/** The group through which a record is asked for, whether or not this agent can open it. */
export function firstGroup({ ways: [way], shared: [share] }: AskedRecord): string | undefined {
  return way === undefined ? share : hex(way.groupId);
}

/** How many DEKs a request asks for through each group (ids in hexadecimal), for showing it. */
export function askedByGroup({ records }: ExaminedRequest): Map<string, number> {
  return counted(records.flatMap((record) => firstGroup(record) ?? []));
}

/** How many DEKs this agent opens through each group (ids in hexadecimal). Throws as `wayInto`. */
export function countByGroup({ records }: ExaminedRequest): Map<string, number> {
  return counted(records.map((record) => hex(wayInto(record).groupId)));
}

function counted(ids: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

/** Open one lock of every record, all at once. Throws as `wayInto`, `GroupKeys.key`, `openLock`. */
export function openAll(request: ExaminedRequest, groupKeys: GroupKeys): Promise<OpenedLock[]> {
  return Promise.all(
    request.records.map(async (record) => {
      const lock = wayInto(record);
      const group = request.groups.get(hex(lock.groupId))!.state;
      const releaseKey = await openLock(lock, await groupKeys.key(group, lock.epoch), {
        core: record.core,
        context: record.contextRaw,
        commitment: record.header.commitment,
      });
      return { releaseKey, dekId: record.core.dekId, lockDigest: await sha256(lock.raw) };
    }),
  );
}

/** One fresh AES key, encrypted to the transport key, and each release key under it (R-REL-2). */
export async function wrapAll(
  opened: readonly OpenedLock[],
  transport: TransportKey,
): Promise<{ readonly block: Bytes; readonly items: ReleaseItem[] }> {
  const sessionKey = random(32);
  const [block, wrapped] = await Promise.all([
    rsaEncrypt(transport.key, sessionKey),
    wrapKeys(
      sessionKey,
      opened.map(({ releaseKey }) => releaseKey),
    ),
  ]);
  const items = opened.map(({ dekId, lockDigest }, at) => {
    return { dekId, lockDigest, wrapped: wrapped[at]! };
  });
  return { block, items };
}
