"""PKCS#11 return values, turned into Twinlock's errors at this one place.

``CallError`` travels inside ``twinlock.token`` only: it says what the token answered, and the
place that knows what was asked decides whether that is about the data or about the token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.token.ck import Ckr, code_name


class CallError(Exception):
    """A PKCS#11 function did not answer CKR_OK. Never leaves ``twinlock.token``."""

    def __init__(self, value: int, function: str) -> None:
        super().__init__(f"{function} answered {code_name(value)}")
        self.value = value
        self.function = function


LOST: Final = frozenset(
    {
        Ckr.SESSION_CLOSED,
        Ckr.SESSION_HANDLE_INVALID,
        Ckr.TOKEN_NOT_PRESENT,
        Ckr.TOKEN_NOT_RECOGNIZED,
        Ckr.DEVICE_REMOVED,
        Ckr.USER_NOT_LOGGED_IN,
        Ckr.CRYPTOKI_NOT_INITIALIZED,
        Ckr.SLOT_ID_INVALID,
    }
)
"""The session or the token is gone: a new session and a new login may help."""

HANDLE_GONE: Final = frozenset(
    {
        Ckr.KEY_HANDLE_INVALID,
        Ckr.OBJECT_HANDLE_INVALID,
        Ckr.UNWRAPPING_KEY_HANDLE_INVALID,
    }
)
"""The object is not there any more, for a session object mostly because its session is not."""

_BUSY: Final = frozenset({Ckr.HOST_MEMORY, Ckr.DEVICE_MEMORY, Ckr.SESSION_COUNT})
_FAILING: Final = frozenset({Ckr.DEVICE_ERROR, Ckr.FUNCTION_CANCELED, Ckr.RANDOM_NO_RNG})
PIN_WRONG: Final = frozenset({Ckr.PIN_INCORRECT, Ckr.PIN_INVALID, Ckr.PIN_LEN_RANGE})
"""The token refused the PIN itself; sending it again may lock it."""

PIN_UNUSABLE: Final = frozenset(
    {Ckr.PIN_LOCKED, Ckr.PIN_EXPIRED, Ckr.USER_PIN_NOT_INITIALIZED, Ckr.USER_TYPE_INVALID}
)
"""No PIN helps before somebody has set or unlocked it."""

_UNSUPPORTED: Final = frozenset(
    {
        Ckr.MECHANISM_INVALID,
        Ckr.MECHANISM_PARAM_INVALID,
        Ckr.ARGUMENTS_BAD,
        Ckr.FUNCTION_NOT_SUPPORTED,
        Ckr.ATTRIBUTE_READ_ONLY,
        Ckr.ATTRIBUTE_TYPE_INVALID,
        Ckr.ATTRIBUTE_VALUE_INVALID,
        Ckr.TEMPLATE_INCOMPLETE,
        Ckr.TEMPLATE_INCONSISTENT,
        Ckr.KEY_FUNCTION_NOT_PERMITTED,
        Ckr.KEY_NOT_WRAPPABLE,
        Ckr.KEY_TYPE_INCONSISTENT,
        Ckr.ACTION_PROHIBITED,
        Ckr.SESSION_READ_ONLY,
        Ckr.TOKEN_WRITE_PROTECTED,
    }
)

REFUSED_DATA: Final = frozenset(
    {
        Ckr.DATA_INVALID,
        Ckr.DATA_LEN_RANGE,
        Ckr.ENCRYPTED_DATA_INVALID,
        Ckr.ENCRYPTED_DATA_LEN_RANGE,
        Ckr.AEAD_DECRYPT_FAILED,
        Ckr.WRAPPED_KEY_INVALID,
        Ckr.WRAPPED_KEY_LEN_RANGE,
        Ckr.KEY_SIZE_RANGE,
    }
)
"""What the standard lets C_Decrypt and C_UnwrapKey answer when the bytes are not genuine."""


def translate(failed: CallError) -> TwinlockError:
    """Return the error for a call that failed for a reason outside the data."""
    value, said = failed.value, str(failed)
    if value in PIN_WRONG or value in PIN_UNUSABLE:
        return _pin_error(value, said)
    if value in LOST:
        return EnvError(
            "token.session-lost",
            f"The connection to the token is gone: {said}.",
            hint="Try again: the next call logs in anew. If it stays, look at the HSM's network.",
            retryable=True,
        )
    if value in _BUSY:
        return EnvError(
            "token.exhausted",
            f"The token has no memory or sessions left: {said}.",
            hint="Try again, or lower the number of sessions in the configuration.",
            retryable=True,
        )
    if value in _FAILING:
        return EnvError(
            "token.device-error",
            f"The token reports a fault of its own: {said}.",
            hint="Try again, and look at the HSM's own log.",
            retryable=True,
        )
    if value in _UNSUPPORTED:
        return EnvError(
            "token.unsupported",
            f"The token does not carry what was asked of it: {said}.",
            hint="Run `twinlock doctor`: it names what this token lacks.",
        )
    return EnvError(
        "token.failed",
        f"The token failed: {said}.",
        hint="Run `twinlock doctor`, and look at the HSM's own log.",
    )


def _pin_error(value: int, said: str) -> TwinlockError:
    if value in PIN_WRONG:
        return CallerError(
            "token.pin-incorrect",
            f"The token refused the PIN: {said}.",
            hint="Correct the PIN source. This process will not send the same PIN again.",
        )
    return EnvError(
        "token.pin-unusable",
        f"The token's user PIN cannot be used now: {said}.",
        hint="Let the token's security officer set or unlock the user PIN.",
    )


def refuses_data(failed: CallError, extra: frozenset[int]) -> bool:
    """Tell whether the token refused the bytes it was given, rather than failed.

    ``extra`` are the return values that this token's profile adds: SoftHSM 2.6.1 answers
    CKR_GENERAL_ERROR to a wrong GCM tag. Only C_Decrypt and C_UnwrapKey judge data.
    """
    judges = failed.function in ("C_Decrypt", "C_UnwrapKey")
    return judges and (failed.value in REFUSED_DATA or failed.value in extra)


@contextmanager
def translating() -> Iterator[None]:
    """The border: no CallError passes it."""
    try:
        yield
    except CallError as failed:
        raise translate(failed) from failed
