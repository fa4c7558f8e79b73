// What an agent shows: plain values for a page. All texts that come from a request or a log are made
// harmless: nothing in them moves, hides or adds a line (R-AGENT-5, R-CTX-8).

import { askedByGroup, firstGroup } from "./answer.ts";
import type { Bytes } from "./bytes.ts";
import type { Uint } from "./cbor.ts";
import { shownRecord } from "./context.ts";
import type { AskedRecord, ExaminedRequest } from "./examine.ts";
import type { Policy } from "./membership/policy.ts";
import type { KnownGroup } from "./state.ts";
import { harmless } from "./text.ts";

/** A group that the agent follows. */
export interface GroupShown {
  readonly id: Bytes;
  readonly name: string;
  /** Known through an invitation or by founding it, not only from the server. */
  readonly verified: boolean;
  readonly policy: Policy;
  /** DEKs: the lower of the agent's own and the group's limit, and what the last hour used. */
  readonly budget: { readonly limit: number; readonly used: number };
  /** 40 digits to compare by phone, at the same `seq`. */
  readonly fingerprint: string;
  readonly seq: Uint;
  readonly epoch: number;
  readonly members: number;
  readonly role: "admin" | "member" | null;
  /** Whoever made the current group key has left: an admin should begin another epoch. */
  readonly needsNewEpoch: boolean;
}

/** A way in that counts. `label` is the member's own word for it. */
export interface WayShown {
  /** The enrolment's id, in hexadecimal. */
  readonly id: string;
  /** The factors that are all needed. */
  readonly kinds: readonly string[];
  readonly label: string;
  /** Seconds since 1970; 0 where nobody wrote it down. */
  readonly made: number;
  /** Kept at the server too, so that any browser of the member can fetch it. */
  readonly atServer: boolean;
  /** Kept here. */
  readonly isHere: boolean;
}

/** One DEK that is asked for. `group` is the name of the group that opens it, null where none does. */
export interface RecordShown {
  readonly tenant: string;
  readonly table: string;
  readonly record: string;
  readonly scope: string;
  readonly purpose: string;
  readonly version: Uint | null;
  readonly group: string | null;
}

/** A request whose statements all hold. */
export interface Examined {
  readonly purpose: string;
  /** Seconds since 1970. */
  readonly expires: number;
  readonly groups: readonly {
    readonly id: Bytes;
    readonly name: string;
    readonly verified: boolean;
    readonly count: number;
  }[];
  readonly records: readonly RecordShown[];
  /** What the member should know beside. */
  readonly warnings: readonly string[];
  /** Why the member has to decide; with none, the agent answers by itself. */
  readonly reasons: readonly string[];
}

export function shownGroup(
  known: KnownGroup,
  memberId: Bytes,
  budget: GroupShown["budget"],
): GroupShown {
  const { state, verified, fingerprint } = known;
  return {
    id: state.groupId,
    name: harmless(state.name),
    verified,
    policy: state.policy,
    budget,
    fingerprint,
    seq: state.seq,
    epoch: state.currentEpoch.number,
    members: state.members.size,
    role: state.membership(memberId)?.role ?? null,
    needsNewEpoch: state.needsNewEpoch,
  };
}

export function shownRequest(request: ExaminedRequest, reasons: readonly string[]): Examined {
  const counts = askedByGroup(request);
  const groups = [...counts].map(([id, count]) => {
    const { state, verified } = request.groups.get(id)!;
    return { id: state.groupId, name: harmless(state.name), verified, count };
  });
  return {
    purpose: harmless(request.message.purpose),
    expires: Number(request.message.notAfter),
    groups,
    records: request.records.map((record) => shownAsked(request, record)),
    warnings: warningsOf(request, [...counts.keys()]),
    reasons,
  };
}

function shownAsked(request: ExaminedRequest, record: AskedRecord): RecordShown {
  const { context } = record;
  const id = firstGroup(record);
  return {
    tenant: harmless(context.tenant),
    table: harmless(context.table),
    record: harmless(shownRecord(context.recordId)),
    scope: harmless(context.scope),
    purpose: harmless(context.purpose),
    version: context.version,
    group: id === undefined ? null : harmless(request.groups.get(id)!.state.name),
  };
}

function warningsOf(request: ExaminedRequest, ids: readonly string[]): string[] {
  const warnings = ids.flatMap((id) => {
    const { state } = request.groups.get(id)!;
    const name = harmless(state.name);
    return state.needsNewEpoch
      ? [`Whoever made the key of group ${name} has left it; an admin should begin a new epoch.`]
      : [];
  });
  const halves = request.records.filter(({ ways, shared }) => ways.length === 0 && shared.length > 0);
  if (halves.length > 0) {
    warnings.push(`${halves.length} records also need a member of another group.`);
  }
  return warnings;
}
