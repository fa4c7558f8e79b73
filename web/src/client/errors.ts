// What goes wrong for an application's page: a stable code, a message, a hint for a person.

/** An error of the flow; `code` is stable, `hint` says what to do next. */
export class TwinlockError extends Error {
  override readonly name: string = "TwinlockError";

  constructor(
    readonly code: string,
    message: string,
    readonly hint = "",
  ) {
    super(message);
  }
}

/**
 * The server wants a release before it does what a POST, PUT, PATCH or DELETE says. `fetch` never
 * repeats such a request by itself: call `open` where the person means it.
 */
export class NeedsExplicitOpen extends TwinlockError {
  override readonly name = "NeedsExplicitOpen";

  constructor(method: string, url: string) {
    super(
      "client.explicit-open",
      `The server needs a release for ${method} ${url}.`,
      "Call open() with the same arguments.",
    );
  }
}
