"""Device keys of the operating system's keyring on the command line.

``--key keyring`` names the member's one key there, ``--key keyring:CHECK`` one of several.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

from twinlock.core.device_key_backup import read_check
from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.keyring.device_key import KeyringDeviceKey

KEYRING_VARIABLE: Final = "TWINLOCK_KEYRING"
_NAMED: Final = "keyring"
_ABSENT: Final = frozenset({"keyring.not-installed", "keyring.no-backend"})


class Whose(Protocol):
    """The member whose keys are meant."""

    @property
    def name(self) -> str:
        """The member's name."""
        ...

    @property
    def deployment_id(self) -> bytes:
        """16 bytes."""
        ...

    @property
    def member_id(self) -> bytes:
        """16 bytes."""
        ...


def named_in_keyring(key: Path | None) -> str | None:
    """Return what ``--key`` says of the keyring: a check, or "" for the one that is there.

    None: it names a file, or nothing. Raises ``device-key.check-malformed``.
    """
    prefix, _, check = str(key or "").partition(":")
    if prefix != _NAMED:
        return None
    return read_check(check) if check else ""


def keyring_allowed() -> bool:
    """Whether the environment lets commands look into the keyring."""
    return os.environ.get(KEYRING_VARIABLE) != "0"


def keyring_keys() -> type[KeyringDeviceKey]:
    """Return the class of the keys there. Raises ``keyring.forbidden``."""
    if not keyring_allowed():
        raise CallerError(
            "keyring.forbidden",
            f"{KEYRING_VARIABLE}=0 keeps commands away from the system's keyring.",
            hint=f"Unset {KEYRING_VARIABLE}, or name a key file with --key.",
        )
    return KeyringDeviceKey


def key_in_keyring(whose: Whose, check: str) -> KeyringDeviceKey:
    """Return the key with this check, or with "" the only one. Raises ``keyring.*``."""
    keys = keyring_keys()
    if check:
        return keys(whose.deployment_id, whose.member_id, check)
    found = keys.all_of(whose.deployment_id, whose.member_id)
    if not found:
        raise CallerError(
            "keyring.missing",
            f"The system's keyring here has no device key of {whose.name}.",
            hint=f"`twinlock device-key list {whose.name}` shows what is here.",
        )
    return _only(found, whose)


def key_instead_of_file(whose: Whose) -> KeyringDeviceKey | None:
    """Return the key to use when there is no key file; None when no keyring has one.

    A keyring that is locked is said so: the key may well be in it. Raises ``keyring.locked``,
    ``keyring.several``, ``keyring.failed`` or ``keyring.damaged``.
    """
    if not keyring_allowed():
        return None
    try:
        found = keyring_keys().all_of(whose.deployment_id, whose.member_id)
    except (CallerError, EnvError) as error:
        if error.code in _ABSENT:
            return None
        raise
    return _only(found, whose) if found else None


def keyring_has_key(whose: Whose) -> bool:
    """Whether a key there can take the place of a missing file, as far as can be told now."""
    try:
        return bool(keyring_keys().all_of(whose.deployment_id, whose.member_id))
    except TwinlockError:
        return False


def _only(found: list[KeyringDeviceKey], whose: Whose) -> KeyringDeviceKey:
    if len(found) > 1:
        checks = ", ".join(key.check for key in found)
        raise CallerError(
            "keyring.several",
            f"The system's keyring has {len(found)} device keys of {whose.name}: {checks}.",
            hint="Name one: --key keyring:CHECK.",
        )
    return found[0]
