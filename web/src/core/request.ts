/** Hello, request and bundle: what an agent says first, and what a server asks (SPEC 11). */
import type { Bytes } from "./bytes.ts";
import {
  decodeLabelled,
  encode,
  takeBytes,
  takeItems,
  takeList,
  takeText,
  takeUint,
  type Uint,
  type Value,
} from "./cbor.ts";
import type { Statement } from "./statements.ts";

export const MAX_DEKS = 1000;
/** Seconds that a request lives at most. */
export const MAX_REQUEST_LIFE = 120;

const MAX_BUNDLE_SIZE = 64 << 20;
const HELLO = "twinlock/v1/hello";
const REQUEST = "twinlock/v1/request";
const BUNDLE = "twinlock/v1/request-bundle";
const GROUPS = "twinlock/v1/group-bundle";

/** How far somebody has followed a group's log: the number of its last entry, and the head. */
export interface GroupHead {
  readonly groupId: Bytes;
  readonly seq: Uint;
  readonly head: Bytes;
}

export interface Hello {
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly agentNonce: Bytes;
  readonly sessionHash: Bytes;
  readonly heads: readonly GroupHead[];
  readonly placement: string;
}

export function encodeHello(hello: Hello): Bytes {
  return encode([
    HELLO,
    hello.deploymentId,
    hello.memberId,
    hello.agentNonce,
    hello.sessionHash,
    hello.heads.map(({ groupId, seq, head }) => [groupId, seq, head]),
    hello.placement,
  ]);
}

/** One DEK that is asked for; `header` is reduced to the locks meant for this member. */
export interface RequestItem {
  readonly core: Bytes;
  readonly context: Bytes;
  readonly header: Bytes;
}

/** What a release answers; it is named by the SHA-256 of its bytes. */
export interface RequestMessage {
  readonly deploymentId: Bytes;
  readonly requestId: Bytes;
  readonly memberId: Bytes;
  readonly sessionHash: Bytes;
  readonly purpose: string;
  readonly notAfter: Uint;
  readonly transportKid: Bytes;
  readonly transportDigest: Bytes;
  readonly heads: readonly GroupHead[];
  readonly items: readonly RequestItem[];
}

/** Decode a request. Throws `format.*`. */
export function decodeRequest(raw: Bytes): RequestMessage {
  const items = decodeLabelled(raw, REQUEST, 11, MAX_BUNDLE_SIZE);
  const [deployment, requestId, member, session, purpose, notAfter, kid, digest, heads, rows] =
    items;
  return {
    deploymentId: takeBytes(deployment, 16),
    requestId: takeBytes(requestId, 16),
    memberId: takeBytes(member, 16),
    sessionHash: takeBytes(session, 32),
    purpose: takeText(purpose),
    notAfter: takeUint(notAfter),
    transportKid: takeBytes(kid, 16),
    transportDigest: takeBytes(digest, 32),
    heads: takeList(heads, 0, 10_000).map(takeHead),
    items: takeList(rows, 1, MAX_DEKS).map(takeItem),
  };
}

/** A group's signed log entries after the head that the agent named, in order. */
export interface GroupNews {
  readonly groupId: Bytes;
  readonly entries: readonly Bytes[];
}

/** A group's private key of one epoch, sealed to the member. */
export interface SealedGroupKey {
  readonly groupId: Bytes;
  readonly epoch: Uint;
  readonly sealed: Bytes;
}

/** What a member needs to follow groups. Nothing in it is trusted before it is checked. */
export interface GroupBundle {
  readonly directory: readonly Statement[];
  readonly news: readonly GroupNews[];
  readonly keys: readonly SealedGroupKey[];
}

/** A request with everything needed to check it. */
export interface RequestBundle extends GroupBundle {
  readonly request: Bytes;
  readonly transport: Statement;
  readonly auditHead: Bytes;
}

/** Decode a request bundle of at most 64 MiB. Throws `format.*`. */
export function decodeBundle(data: Uint8Array): RequestBundle {
  const items = decodeLabelled(data, BUNDLE, 7, MAX_BUNDLE_SIZE);
  const [request, transport, directory, news, keys, auditHead] = items;
  return {
    request: takeBytes(request),
    transport: takeStatement(transport),
    ...takeGroups(directory, news, keys),
    auditHead: takeBytes(auditHead, 32),
  };
}

/** Decode a group bundle of at most 64 MiB. Throws `format.*`. */
export function decodeGroupBundle(data: Uint8Array): GroupBundle {
  const [directory, news, keys] = decodeLabelled(data, GROUPS, 4, MAX_BUNDLE_SIZE);
  return takeGroups(directory, news, keys);
}

function takeGroups(
  directory: Value | undefined,
  news: Value | undefined,
  keys: Value | undefined,
): GroupBundle {
  return {
    directory: takeList(directory, 0, 1000).map(takeStatement),
    news: takeList(news, 0, 1000).map(takeNews),
    keys: takeList(keys, 0, 100_000).map(takeKey),
  };
}

function takeHead(value: Value): GroupHead {
  const [groupId, seq, head] = takeItems(value, 3);
  return { groupId: takeBytes(groupId, 32), seq: takeUint(seq), head: takeBytes(head, 32) };
}

function takeItem(value: Value): RequestItem {
  const [core, context, header] = takeItems(value, 3);
  return { core: takeBytes(core), context: takeBytes(context), header: takeBytes(header) };
}

function takeStatement(value: Value | undefined): Statement {
  const [raw, signature] = takeItems(value, 2);
  return { raw: takeBytes(raw), signature: takeBytes(signature, 64) };
}

function takeNews(value: Value): GroupNews {
  const [groupId, entries] = takeItems(value, 2);
  const taken = { groupId: takeBytes(groupId, 32) };
  return { ...taken, entries: takeList(entries).map((entry) => takeBytes(entry)) };
}

function takeKey(value: Value): SealedGroupKey {
  const [groupId, epoch, sealed] = takeItems(value, 3);
  return { groupId: takeBytes(groupId, 32), epoch: takeUint(epoch), sealed: takeBytes(sealed) };
}
