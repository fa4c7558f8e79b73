"""Device keys in files: the key itself, the page to print, the backup under a passphrase."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from twinlock.core.device_key_backup import (
    BACKUP_MEMORY_KIB,
    MAX_BACKUP,
    PRINTED_DEVICE_KEY,
    DeviceKeyBackup,
    decode_backup,
    device_key_check,
    seal_backup,
)
from twinlock.core.keyfile import decode_key_file, encode_key_file
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret, SecretText
from twinlock.files import read_private, write_private

_KIND: Final = "device-key"
_MAX_KEY_FILE: Final = 4096
ROW: Final = 4
"""Groups in a row of the page."""


def load_device_key(path: Path) -> Secret:
    """Read a key file. Raises ``file.*`` or ``key-file.damaged``."""
    return decode_key_file(_KIND, read_private(path, max_size=_MAX_KEY_FILE))


def save_device_key(path: Path, key: Secret) -> None:
    """Write a new key file with mode 0600. Raises ``file.exists`` or ``file.unwritable``."""
    write_private(path, encode_key_file(_KIND, key).encode("ascii"), exclusive=True)


def rows() -> list[tuple[int, int]]:
    """Return the page's rows: the number of the first group, from 1, and how many there are."""
    groups = PRINTED_DEVICE_KEY.groups
    return [(first, min(ROW, groups - first + 1)) for first in range(1, groups + 1, ROW)]


def device_key_page(name: str, key: Secret) -> SecretText:
    """Return the page to print for the member ``name``. It holds the key."""
    groups = PRINTED_DEVICE_KEY.write(key).reveal().split("-")
    shown = [
        f"    {number}   {'-'.join(groups[first - 1 : first - 1 + count])}\n"
        for number, (first, count) in enumerate(rows(), 1)
    ]
    return SecretText(
        f"Twinlock device key of {name}\n\n{''.join(shown)}\n"
        f"    Check   {device_key_check(key)}\n\n"
        f"Whoever has this page has {name}'s device key. Print it, then delete the file.\n\n"
        "To see that this page and the key in use belong together, compare the check with\n\n"
        f"    twinlock device-key check {name}\n\n"
        "When the key is lost:\n\n"
        f"    twinlock device-key restore {name}\n\n"
        "asks for the rows and says which group is mistyped. Case, spaces and dashes do not\n"
        f"matter. {name}.member has to be kept too: the key alone opens nothing.\n"
    )


def write_page(path: Path, name: str, key: Secret) -> None:
    """Write the page to a new file with mode 0600. Raises ``file.exists``."""
    write_private(path, device_key_page(name, key).reveal().encode(), exclusive=True)


def write_backup(
    path: Path,
    key: Secret,
    passphrase: SecretText,
    *,
    randomness: Randomness = os.urandom,
    memory_kib: int = BACKUP_MEMORY_KIB,
) -> None:
    """Write a backup under a passphrase to a new file, such as on a stick.

    Argon2id takes ``memory_kib`` now and when it opens. Raises ``file.exists`` or
    ``factor.passphrase-invalid``.
    """
    raw = seal_backup(key, passphrase, randomness=randomness, memory_kib=memory_kib)
    write_private(path, raw, exclusive=True)


def read_backup(path: Path) -> DeviceKeyBackup:
    """Read a backup file. Raises ``file.*`` or ``device-key.backup-damaged``."""
    return decode_backup(read_private(path, max_size=MAX_BACKUP))
