// The group keys that a member opened: in memory only, for as long as the agent is unlocked.

import { equal, hex, type Bytes } from "./bytes.ts";
import type { Uint } from "./cbor.ts";
import type { MemberKeys } from "./enrolment.ts";
import { lockedAgent, TwinlockError } from "./errors.ts";
import { KemKey, requireSupported } from "./keys.ts";
import type { GroupState } from "./membership/state.ts";
import type { SealedGroupKey } from "./request.ts";

/** Opens group keys sealed to the member and keeps them by group and epoch. */
export class GroupKeys {
  readonly #memberId: Bytes;
  #keys: MemberKeys | null;
  readonly #sealed = new Map<string, Bytes>();
  readonly #opened = new Map<string, Promise<KemKey>>();

  constructor(memberId: Bytes, keys: MemberKeys) {
    this.#memberId = memberId;
    this.#keys = keys;
  }

  /** Drop every key; nothing can be opened afterwards. */
  forget(): void {
    this.#keys = null;
    this.#opened.clear();
  }

  /** Take sealed keys from a bundle; they are opened when they are needed. */
  receive(sealed: readonly SealedGroupKey[]): void {
    for (const key of sealed) this.#sealed.set(placeOf(key.groupId, key.epoch), key.sealed);
  }

  /**
   * A group's private key of one epoch.
   *
   * Throws `group.key-missing`, `agent.kem-unsupported`, or `group.key-replaced` when the opened key
   * is not the one whose public half the log names (R-AGENT-4).
   */
  key(group: GroupState, epoch: Uint): Promise<KemKey> {
    if (this.#keys === null) throw lockedAgent();
    const place = placeOf(group.groupId, epoch);
    let opening = this.#opened.get(place);
    if (opening === undefined) {
      opening = this.#open(group, epoch, this.#keys);
      this.#opened.set(place, opening);
      // A bundle may bring the right key later, so a failure is not kept.
      opening.catch(() => this.#opened.delete(place));
    }
    return opening;
  }

  async #open(group: GroupState, epoch: Uint, keys: MemberKeys): Promise<KemKey> {
    const began = group.epoch(epoch);
    const sealed = this.#sealed.get(placeOf(group.groupId, epoch));
    if (began === undefined || sealed === undefined) {
      throw new TwinlockError(
        "group.key-missing",
        `The server sent no key of group ${group.name} for epoch ${epoch}.`,
        "Ask for the request again; if it stays so, an admin has to add you anew.",
      );
    }
    requireSupported(began.kem);
    const seed = await keys.kem.open(sealed, group.groupKeyInfo(this.#memberId, began));
    const key = await KemKey.fromSeed(began.kem, seed);
    if (!equal(key.public, began.public)) {
      throw new TwinlockError(
        "group.key-replaced",
        `The key of group ${group.name} is not the one that its log names.`,
        "Do not use the group until its admins have compared fingerprints.",
      );
    }
    return key;
  }
}

function placeOf(groupId: Bytes, epoch: Uint): string {
  return `${hex(groupId)}/${epoch}`;
}
