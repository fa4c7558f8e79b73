"""Backups of a device key: a text to print, and a file under a passphrase (SPEC 30).

Both are told apart from others by the key's check, 40 bits that say which key it is and, of 256
random bits, nothing that helps to find it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors.stretching import (
    MIN_ITERATIONS,
    MIN_MEMORY_KIB,
    SALT_SIZE,
    Stretching,
    stretch,
    take_stretching,
)
from twinlock.core.keyfile import KEY_SIZE
from twinlock.core.ports import Randomness
from twinlock.core.primitives import (
    NONCE_SIZE,
    TAG_SIZE,
    equal,
    gcm_open,
    gcm_seal,
    hkdf_expand,
    hkdf_extract,
)
from twinlock.core.printed import PrintedForm, digits_of, pieces, symbols
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, DataError, TwinlockError

BACKUP_MEMORY_KIB: Final = 4 * MIN_MEMORY_KIB
"""A stick is lost more easily than a computer, and nobody opens its backup every day."""
MAX_BACKUP: Final = 1024

_CHECK: Final = b"twinlock/v1/device-key-check"
_CHECK_SIZE: Final = 5
_CHECK_DIGITS: Final = 8
_AAD: Final = "twinlock/v1/device-key-backup"
_FILE: Final = "twinlock/v1/device-key-backup-file"


def _mistyped(where: str) -> CallerError:
    return CallerError(
        "device-key.mistyped",
        f"This is not a device key. {where}.",
        hint="Compare what you typed with the page: 14 groups of five characters.",
    )


PRINTED_DEVICE_KEY: Final = PrintedForm(KEY_SIZE, 24, b"twinlock/v1/device-key-print", _mistyped)
"""32 bytes in 14 groups. Raises ``device-key.mistyped``."""


def device_key_check(key: Secret) -> str:
    """Return what pages, files and keyrings call a key by: ``XXXX-XXXX``.

    Who has a key can make 2^40 others until one has the same check: it names, and proves nothing.
    """
    return _shown(_check_of(key))


def read_check(text: str) -> str:
    """Return a check as it is printed, from what somebody typed.

    Raises CallerError ``device-key.check-malformed``.
    """
    typed = digits_of("".join(pieces(text)))
    digits = [digit for digit in typed if digit is not None]
    if len(typed) != _CHECK_DIGITS or len(digits) != _CHECK_DIGITS:
        raise CallerError(
            "device-key.check-malformed",
            "A check has eight characters, such as 7K3M-9QTX.",
            hint="It stands on the printed page, and `twinlock device-key list` shows it.",
        )
    return _grouped(symbols(digits))


@dataclass(frozen=True, slots=True)
class DeviceKeyBackup:
    """A backup file that was not opened. ``check`` is what it says of itself."""

    check: str
    _stretching: Stretching = field(repr=False)
    _aad: bytes = field(repr=False)
    _nonce: bytes = field(repr=False)
    _sealed: bytes = field(repr=False)

    def open(self, passphrase: SecretText) -> Secret:
        """Return the key, which has that check.

        Raises DataError ``device-key.backup-wrong`` or CallerError ``factor.passphrase-invalid``.
        """
        by = _backup_key(passphrase, self._stretching)
        try:
            key = Secret(gcm_open(by.reveal(), self._nonce, self._sealed, self._aad))
        except TwinlockError as error:
            raise _wrong() from error
        # AES-GCM alone would let one file open to two keys under two passphrases.
        if not equal(device_key_check(key).encode(), self.check.encode()):
            raise _wrong()
        return key


def seal_backup(
    key: Secret,
    passphrase: SecretText,
    *,
    randomness: Randomness,
    memory_kib: int = BACKUP_MEMORY_KIB,
    iterations: int = MIN_ITERATIONS,
) -> bytes:
    """Return a backup file of a device key. Raises CallerError ``factor.passphrase-invalid``."""
    by = Stretching(randomness(SALT_SIZE), memory_kib, iterations, 1)
    aad = cbor.encode([_AAD, _check_of(key), by.salt, by.memory_kib, by.iterations, by.lanes])
    nonce = randomness(NONCE_SIZE)
    sealed = gcm_seal(_backup_key(passphrase, by).reveal(), nonce, key.reveal(), aad)
    return cbor.encode([_FILE, aad, nonce, sealed])


def decode_backup(raw: bytes) -> DeviceKeyBackup:
    """Decode a backup file; nothing in it is authentic before it opens.

    Raises DataError ``device-key.backup-damaged``.
    """
    try:
        _, aad, nonce, sealed = cbor.decode_labelled(raw, _FILE, 4, max_size=MAX_BACKUP)
        cbor.take_bytes(nonce, NONCE_SIZE)
        cbor.take_bytes(sealed, KEY_SIZE + TAG_SIZE)
        _, check, *stretching = cbor.decode_labelled(cbor.take_bytes(aad), _AAD, 6)
        shown = _shown(cbor.take_bytes(check, _CHECK_SIZE))
        return DeviceKeyBackup(shown, take_stretching(stretching), aad, nonce, sealed)
    except DataError as error:
        raise DataError(
            "device-key.backup-damaged",
            "This file is not a backup of a device key, or it was damaged.",
            hint="Use the printed page, or another copy of the file.",
        ) from error


def _check_of(key: Secret) -> bytes:
    return hkdf_expand(hkdf_extract(b"", key.reveal()), _CHECK, _CHECK_SIZE)


def _shown(check: bytes) -> str:
    number = int.from_bytes(check, "big")
    return _grouped(symbols([number >> 5 * at & 31 for at in reversed(range(_CHECK_DIGITS))]))


def _grouped(text: str) -> str:
    return f"{text[:4]}-{text[4:]}"


def _backup_key(passphrase: SecretText, by: Stretching) -> Secret:
    return Secret(hkdf_expand(stretch(passphrase.reveal(), by).reveal(), _AAD.encode()))


def _wrong() -> DataError:
    return DataError(
        "device-key.backup-wrong",
        "This passphrase does not open this backup.",
        hint="Try again. If you are sure of it, the file was changed: use the printed page.",
    )
