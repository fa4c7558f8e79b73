"""Errors of the member routes as clients see them: problems, like those of the HTTP flow.

What only a member who proved to be one can bring about is told as it is. Everybody else meets a few
fixed refusals, which say nothing about who exists.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from twinlock.core.ports import Clock
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.integrations.asgi.member_wire import malformed
from twinlock.integrations.asgi.problems import CODES, Answer, Told, problem
from twinlock.server.attempts import WINDOW

MEMBER_CODES: Final = MappingProxyType(
    {
        "http.no-route": Told(404),
        "http.method": Told(405),
        "http.media-type": Told(415),
        "http.body": Told(400),
        "http.too-large": CODES["http.too-large"],
        "http.cross-site": CODES["http.cross-site"],
        "http.no-session": CODES["http.no-session"],
        "http.other-member": CODES["http.other-member"],
        "http.busy": CODES["http.busy"],
        "http.unavailable": CODES["http.unavailable"],
        "http.failed": CODES["http.failed"],
        "hardening.key-unknown": Told(400),
        "hardening.no-key": Told(404),
        "hardening.point-invalid": Told(400),
        "hardening.limit": Told(429, True),
        "sign-in.limit": Told(429, True),
        "login.refused": Told(401),
        "scram.refused": Told(401),
        "passkey.refused": Told(401),
        "passkey.prf-leaked": Told(400),
        "enrolment.no-such-kind": Told(400),
        "hello.malformed": Told(400),
        "member.not-proved": Told(403),
        "member.unknown": Told(404),
        "request.expired": Told(403),
        "contacts.none": Told(404),
        "recovery.not-allowed": Told(403),
    }
)
"""What the member routes tell by its own code. The table in docs/http.md is compared with it."""

_OF_CHANGES: Final = ("enrolment.", "group.", "log.", "member.", "scram.verifier", "directory.")
_LIMITS: Final = frozenset({"hardening.limit", "sign-in.limit"})


_OF_RECOVERIES: Final = ("recovery.", "group.", "log.")


class ChangeRefusedError(CallerError):
    """A member's change or message that was refused, with the code that the vault gave."""


def member_problem(error: TwinlockError, clock: Clock) -> Answer:
    """Return the answer for an error."""
    headers: list[tuple[str, str]] = []
    if error.code in _LIMITS:
        headers.append(("retry-after", str(WINDOW - clock() % WINDOW)))
    if error.code == "http.method":
        headers.append(("allow", "POST"))
    codes = MEMBER_CODES
    if isinstance(error, ChangeRefusedError):
        codes = MappingProxyType({**MEMBER_CODES, error.code: Told(409)})
    return problem(error, tuple(headers), codes=codes)


def change_refused(error: TwinlockError) -> TwinlockError:
    """Return what is told of a change that the vault refused.

    That no member signed it, or that it cannot be read, has one face.
    """
    if isinstance(error, DataError) and is_no_proof(error):
        return not_proved()
    told = isinstance(error, CallerError | DataError) and error.code.startswith(_OF_CHANGES)
    return ChangeRefusedError(error.code, error.message, hint=error.hint) if told else error


def message_refused(error: TwinlockError) -> TwinlockError:
    """Return what is told of a recovery's message that the vault refused."""
    if error.code in MEMBER_CODES:
        return error
    if error.code == "data.not-authentic":
        return not_proved()
    if error.code.startswith("format.") or error.code in ("key.malformed", "factor.parameters"):
        return malformed("is no message of a recovery")
    told = isinstance(error, CallerError | DataError) and error.code.startswith(_OF_RECOVERIES)
    return ChangeRefusedError(error.code, error.message, hint=error.hint) if told else error


def is_no_proof(error: TwinlockError) -> bool:
    """Tell whether an error says that something was not signed by a member."""
    return error.code == "data.not-authentic" or error.code.startswith("format.")


def not_proved() -> CallerError:
    """Return the one refusal of what no present key of a member signed."""
    return CallerError(
        "member.not-proved",
        "This is not signed by a member's present key.",
        hint="Follow the groups and try again; a member who revoked has new keys.",
    )
