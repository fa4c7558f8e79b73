// What the agent's origin keeps: the member's state as it is on disk, the device key file where a way in
// has one, and one setting. What a member types or touches is never stored.

import { Failure } from "./failure.ts";
import type { MemberFiles } from "./types.ts";

const DATABASE = "twinlock";
const TABLE = "kept";

/** A member's files and the name to greet with; the name is shown before anything is unlocked. */
export interface Kept extends MemberFiles {
  readonly name: string;
}

/** The agent's IndexedDB. Every call fails with `agent.storage` where the browser refuses. */
export class Store {
  /** Return what is kept on this device, or null. */
  async load(): Promise<Kept | null> {
    const found = await this.#run("readonly", (table) => table.get("member"));
    return found === undefined ? null : (found as Kept);
  }

  /** Keep a member's files, written through to disk before this resolves. */
  async save(kept: Kept): Promise<void> {
    await this.#run("readwrite", (table) => table.put(kept, "member"));
  }

  /** Return how many minutes without use lock the agent, as set on this device, or null. */
  async lockAfter(): Promise<number | null> {
    const found = await this.#run("readonly", (table) => table.get("lock-after"));
    return typeof found === "number" ? found : null;
  }

  /** Set how many minutes without use lock the agent. */
  async setLockAfter(minutes: number): Promise<void> {
    await this.#run("readwrite", (table) => table.put(minutes, "lock-after"));
  }

  /** Remove everything from this device. */
  async forget(): Promise<void> {
    await this.#run("readwrite", (table) => table.clear());
  }

  async #run(mode: IDBTransactionMode, act: (table: IDBObjectStore) => IDBRequest): Promise<unknown> {
    try {
      const database = await opened();
      try {
        return await new Promise((resolve, reject) => {
          const work = database.transaction(TABLE, mode, { durability: "strict" });
          const request = act(work.objectStore(TABLE));
          work.oncomplete = () => resolve(request.result);
          work.onabort = () => reject(work.error);
        });
      } finally {
        database.close();
      }
    } catch (error) {
      const message = `This browser does not let the agent store its files: ${String(error)}.`;
      throw new Failure("agent.storage", message, "Leave private browsing, or free some space.");
    }
  }
}

function opened(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another window blocks it"));
  });
}
