/**
 * The one error of this package. Codes are those of docs/errors.md; match the code, never the
 * message. Neither message nor hint holds a secret or foreign text at length.
 */
export class TwinlockError extends Error {
  override readonly name = "TwinlockError";

  /** `code` is stable, `hint` says what to do next; `cause` is for a log, never for a server. */
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** The one error for bytes that no decoder here accepts; `why` completes the sentence. */
export function malformed(why: string, cause?: unknown): TwinlockError {
  return new TwinlockError(
    "format.malformed",
    `This message is damaged or foreign: ${why}.`,
    "Fetch it again; if it stays so, restore it from a copy.",
    cause,
  );
}

/** The one face of every failed authenticity check; `cause` stays inside. */
export function notAuthentic(cause: string, error?: unknown): TwinlockError {
  return new TwinlockError(
    "data.not-authentic",
    "This record is not authentic: it was changed, moved, or not written by a known writer.",
    "Do not use it. Compare the row with a backup and look at the writer's log.",
    new Error(cause, { cause: error }),
  );
}

/** A public key that is not one of the kind that is needed. */
export function malformedKey(cause?: unknown): TwinlockError {
  return new TwinlockError(
    "key.malformed",
    "This is not a public key of the kind that is needed here.",
    "Ask its owner to send it again.",
    cause,
  );
}

/** A number that this version does not know where it chooses an algorithm (R-ENV-6). */
export function unknownSuite(what: string, value: unknown): TwinlockError {
  return new TwinlockError(
    "suite.unknown",
    `This value uses the ${what} ${String(value).slice(0, 40)}, which this version does not know.`,
    "Upgrade Twinlock, or restore the row if nobody uses a newer version.",
  );
}

/** A KEM that only the program opens. */
export function unsupportedKem(name: string): TwinlockError {
  return new TwinlockError(
    "agent.kem-unsupported",
    `The agent in the browser opens nothing that is sealed with ${name}.`,
    "Use the agent as a program: `twinlock release`.",
  );
}

/** The member's keys are gone; nothing can be opened or signed. */
export function lockedAgent(): TwinlockError {
  return new TwinlockError("agent.locked", "This agent is locked.", "Unlock it again to go on.");
}
