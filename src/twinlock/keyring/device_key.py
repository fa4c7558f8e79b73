"""A device key in the operating system's keyring (SPEC 30)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Self

from twinlock.core.device_key_backup import device_key_check, read_check
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.keyfile import KEY_SIZE, decode_key_file, encode_key_file
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, DataError
from twinlock.keyring.entries import delete_entry, read_entry, write_entry

_KIND: Final = "device-key"


class KeyringDeviceKey:
    """The factor of a device key in the keyring, read there when it is needed.

    A member's keys are told apart by their checks (``XXXX-XXXX``). Making this object touches
    nothing; every method may raise ``keyring.*``.
    """

    def __init__(self, deployment_id: bytes, member_id: bytes, check: str) -> None:
        self.deployment_id, self.member_id, self.check = deployment_id, member_id, check
        self._factor = DeviceKeyFactor(self._read)

    @property
    def kind(self) -> str:
        """``device-key``."""
        return self._factor.kind

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:
        """See ``DeviceKeyFactor``."""
        return self._factor.new_parameters(randomness, place)

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """See ``DeviceKeyFactor``. Raises ``keyring.missing`` or ``keyring.damaged`` too."""
        return self._factor.output(parameters, place)

    @classmethod
    def create(
        cls, deployment_id: bytes, member_id: bytes, *, randomness: Randomness = os.urandom
    ) -> Self:
        """Make a new device key in the keyring. It is on no disk of ours before or after."""
        return cls.keep(deployment_id, member_id, Secret(randomness(KEY_SIZE)))

    @classmethod
    def keep(cls, deployment_id: bytes, member_id: bytes, key: Secret) -> Self:
        """Put a key that is elsewhere into the keyring; one that is there stays as it is."""
        made = cls(deployment_id, member_id, device_key_check(key))
        write_entry(made._user, SecretText(encode_key_file(_KIND, key)))
        checks = _listed(deployment_id, member_id)
        if made.check not in checks:
            _list(deployment_id, member_id, [*checks, made.check])
        return made

    @classmethod
    def all_of(cls, deployment_id: bytes, member_id: bytes) -> list[Self]:
        """Return a member's keys in this keyring, the oldest first."""
        return [cls(deployment_id, member_id, c) for c in _listed(deployment_id, member_id)]

    def export(self) -> Secret:
        """Return the key itself, for a backup or a key file: what only an explicit verb does."""
        return self._read()

    def delete(self) -> None:
        """Delete the key from the keyring. Raises ``keyring.missing``."""
        if read_entry(self._user) is None:
            raise self._missing()
        delete_entry(self._user)
        checks = _listed(self.deployment_id, self.member_id)
        if self.check in checks:
            checks.remove(self.check)
            _list(self.deployment_id, self.member_id, checks)

    @property
    def _user(self) -> str:
        return f"{_member(self.deployment_id, self.member_id)}/{self.check}"

    def _read(self) -> Secret:
        text = read_entry(self._user)
        if text is None:
            raise self._missing()
        try:
            key = decode_key_file(_KIND, text.reveal().encode("utf-8", "replace"))
        except DataError as error:
            raise _damaged(f"the device key {self.check}") from error
        if device_key_check(key) != self.check:
            raise _damaged(f"the device key {self.check}")
        return key

    def _missing(self) -> CallerError:
        return CallerError(
            "keyring.missing",
            f"The system's keyring here has no device key {self.check} of this member.",
            hint="`twinlock device-key list` shows what is here, `restore` brings a key back.",
        )


def _member(deployment_id: bytes, member_id: bytes) -> str:
    return f"{deployment_id.hex()}/{member_id.hex()}"


def _listed(deployment_id: bytes, member_id: bytes) -> list[str]:
    """The checks of a member's keys. ``keyring`` cannot list entries, so one entry lists them."""
    text = read_entry(_member(deployment_id, member_id))
    try:
        return [] if text is None else [read_check(line) for line in text.reveal().split()]
    except CallerError as error:
        raise _damaged("the list of this member's device keys") from error


def _list(deployment_id: bytes, member_id: bytes, checks: Sequence[str]) -> None:
    user = _member(deployment_id, member_id)
    if checks:
        write_entry(user, SecretText("\n".join(checks)))
    else:
        delete_entry(user)


def _damaged(what: str) -> DataError:
    return DataError(
        "keyring.damaged",
        f"What the system's keyring has for {what} is another thing.",
        hint="Restore the key from its backup with `twinlock device-key restore`.",
    )
