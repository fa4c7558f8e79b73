// One error for everything that goes wrong here: a stable code, a message, a hint for a person.

import { isCode } from "./fields.ts";

/** An error with a stable `code` (`family.subject`) and a `hint` that says what to do next. */
export class Failure extends Error {
  override readonly name = "Failure";

  constructor(
    readonly code: string,
    message: string,
    readonly hint = "",
  ) {
    super(message);
  }
}

/** Take whatever was thrown as a `Failure`; errors with a code keep it, others become `agent.bug`. */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof Error && "code" in thrown && isCode(thrown.code)) {
    const hint = "hint" in thrown && typeof thrown.hint === "string" ? thrown.hint : "";
    return new Failure(thrown.code, thrown.message, hint);
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Failure("agent.bug", `Something unforeseen happened: ${message}`, "Please report it.");
}
