"""What an authenticator answers, in words for the person who holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fido2.client import ClientError
from fido2.ctap import CtapError
from fido2.hid import ConnectionFailure

from twinlock.errors import CallerError, EnvError, TwinlockError

_Err = CtapError.ERR
PIN_REFUSED: Final = frozenset({_Err.PIN_INVALID, _Err.PIN_AUTH_BLOCKED, _Err.PIN_BLOCKED})
"""What the answer to a wrong PIN is, the last ones before a lock included."""
_NO_TOUCH: Final = {_Err.USER_ACTION_TIMEOUT, _Err.ACTION_TIMEOUT, _Err.KEEPALIVE_CANCEL}


@contextmanager
def as_passkey_errors() -> Iterator[None]:
    """The border: no error of python-fido2 or of the transport passes it."""
    try:
        yield
    except (ClientError, CtapError) as error:
        raise _translated(ctap_code(error), error) from error
    # Its parsers raise ValueError and KeyError for what no authenticator should answer.
    except (ConnectionFailure, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _failed(type(error).__name__) from error


def ctap_code(error: BaseException) -> int | None:
    """Return the CTAP status (CTAP 2.1, 8.2) behind an error, None for none."""
    cause = error.cause if isinstance(error, ClientError) else error
    if isinstance(cause, CtapError):
        return int(cause.code)
    timed_out = isinstance(error, ClientError) and error.code == ClientError.ERR.TIMEOUT
    return int(_Err.KEEPALIVE_CANCEL) if timed_out else None


def _translated(code: int | None, error: Exception) -> TwinlockError:
    if code == _Err.PIN_INVALID:
        return pin_wrong()
    if code == _Err.PIN_AUTH_BLOCKED:
        return pin_paused()
    if code in (_Err.PIN_BLOCKED, _Err.UV_BLOCKED):
        return pin_blocked()
    if code in (_Err.PIN_NOT_SET, _Err.PIN_POLICY_VIOLATION):
        return no_pin()
    if code == _Err.UV_INVALID:
        return not_verified("The authenticator did not recognise its user.")
    if code == _Err.NO_CREDENTIALS:
        return other_credential()
    if code in _NO_TOUCH:
        return EnvError(
            "passkey.timed-out",
            "Nobody touched the authenticator in time.",
            hint="Try again, and touch it when it blinks.",
            retryable=True,
        )
    if code == _Err.OPERATION_DENIED:
        return CallerError(
            "passkey.denied",
            "The request was declined on the authenticator.",
            hint="Try again if that was not what you wanted.",
        )
    if code == _Err.KEY_STORE_FULL:
        return EnvError(
            "passkey.full",
            "The authenticator has no room for another passkey.",
            hint="Delete one that you no longer need, in its vendor's program.",
        )
    return _failed(str(error) if isinstance(error, CtapError) else repr(error))


def _failed(what: str) -> EnvError:
    return EnvError(
        "passkey.failed",
        f"The authenticator cannot be used: {what}.",
        hint="Take it out and insert it again. May this user open it, and is it used elsewhere?",
        retryable=True,
    )


def pin_wrong(left: int | None = None) -> CallerError:
    """Return the error for a refused PIN; ``left`` tries remain, if that is known."""
    tries = "" if left is None else f" It takes {left} more before it locks itself."
    return CallerError(
        "passkey.pin-wrong",
        f"The authenticator refused the PIN.{tries}",
        hint="Look it up before you try again.",
    )


def pin_paused() -> EnvError:
    """Return the error for an authenticator that wants to be taken out first."""
    return EnvError(
        "passkey.pin-paused",
        "The authenticator takes no PIN after three wrong ones in a row.",
        hint="Look the PIN up, take the authenticator out and insert it again.",
    )


def pin_blocked() -> EnvError:
    """Return the error for an authenticator that takes no PIN ever again."""
    return EnvError(
        "passkey.pin-blocked",
        "The authenticator is locked after too many wrong PINs or fingerprints.",
        hint="Use another way in. Resetting the authenticator deletes all passkeys on it.",
    )


def no_pin() -> CallerError:
    """Return the error for an authenticator that cannot verify anybody."""
    return CallerError(
        "passkey.no-pin",
        "The authenticator has no PIN, and so cannot tell who uses it.",
        hint="Set one in the browser's settings for security keys, or in its vendor's program.",
    )


def not_verified(what: str) -> CallerError:
    """Return the error for an answer without user verification."""
    return CallerError(
        "passkey.not-verified",
        what,
        hint="Try again with the finger or the PIN that the authenticator knows.",
    )


def other_credential() -> CallerError:
    """Return the error for authenticators without the enrolled passkey."""
    return CallerError(
        "passkey.other-credential",
        "No authenticator that is connected holds the enrolled passkey.",
        hint="Connect the one that was enrolled, or use another way in.",
    )


def no_hmac_secret() -> CallerError:
    """Return the error for an authenticator that cannot unlock anything."""
    return CallerError(
        "passkey.no-hmac-secret",
        "This authenticator has no hmac-secret, which unlocking needs.",
        hint="Use a FIDO2 security key that has it, or another factor.",
    )
