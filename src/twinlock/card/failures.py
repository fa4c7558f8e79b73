"""What a smart card answers, in words for the person who holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.token.ck import Ckr
from twinlock.token.returns import LOST, PIN_UNUSABLE, PIN_WRONG, CallError, translate


@contextmanager
def as_card_errors() -> Iterator[None]:
    """The border: no CallError passes it."""
    try:
        yield
    except CallError as failed:
        raise _translated(failed) from failed


def _translated(failed: CallError) -> TwinlockError:
    if failed.value in PIN_WRONG:
        return CallerError(
            "card.pin-wrong",
            "The smart card refused the PIN.",
            hint="Look it up before you try again: a card locks itself after a few wrong PINs.",
        )
    if failed.value in PIN_UNUSABLE:
        return EnvError(
            "card.pin-unusable",
            f"The smart card takes no PIN now: {failed}.",
            hint="Unblock it with its PUK, in its vendor's program. Until then use another way in.",
        )
    derives = failed.function in ("C_DeriveKey", "C_GetAttributeValue")
    if derives and failed.value not in LOST | {Ckr.DEVICE_ERROR}:
        return EnvError(
            "card.cannot-derive",
            f"The smart card does not multiply points with this key: {failed}.",
            hint="It needs CKM_ECDH1_DERIVE without a KDF, and a P-256 key for key agreement.",
        )
    return translate(failed)


def key_missing(key_id: bytes, why: str) -> CallerError:
    """Return the error for a card that lacks the key."""
    return CallerError(
        "card.key-missing",
        f"This smart card {why} with the id {key_id.hex()}.",
        hint="Is it the card that was enrolled? Name another with --card.",
    )


def key_replaced(key_id: bytes, why: str) -> CallerError:
    """Return the error for a card with another key under the same id."""
    return CallerError(
        "card.key-replaced",
        f"The key {key_id.hex()} of this smart card is not the enrolled one: {why}.",
        hint="Use the enrolled card. If this is it, its key was overwritten: use another way in.",
    )


def pin_doubted() -> CallerError:
    """Return the error for a stored PIN where a person should type one."""
    return CallerError(
        "card.pin-doubted",
        "A wrong PIN was given to this smart card last; the stored one is not tried.",
        hint="Unlock it once by typing the PIN, and correct the URI's pin-source.",
    )
