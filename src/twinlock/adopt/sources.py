"""Plaintext of rows that were never locked to the token: plaintext columns and Fernet tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from twinlock.adopt.settings import Source, TableSettings
from twinlock.adopt.templates import Row
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from twinlock.files import read_private

_MAX_KEY_FILE: Final = 16 << 10
PlainRow = Callable[[Row], dict[str, bytes]]
"""Gives a row's plaintexts by declared column name; columns that are NULL are left out."""


def plain_source(settings: TableSettings) -> PlainRow:
    """Return how the rows of a table become plaintext in this process.

    Raises CallerError ``adopt.source``, ``adopt.fernet-key`` or ``file.*``. What it returns raises
    DataError ``adopt.malformed`` or ``adopt.fernet``.
    """
    decode: Callable[[str, object], bytes]
    match settings.source:
        case Source.PLAINTEXT:
            decode = _as_it_is
        case Source.FERNET:
            decode = _fernet(settings)
        case _:
            raise CallerError(
                "adopt.source",
                f"What {settings.name} holds is not opened by settings alone.",
                hint="With source = 'layout', override plaintexts() in the layout.",
            )

    def plaintexts(row: Row) -> dict[str, bytes]:
        return {
            column.name: decode(column.content, row[column.content])
            for column in settings.columns
            if row[column.content] is not None
        }

    return plaintexts


def _as_it_is(name: str, value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    raise DataError(
        "adopt.malformed",
        f"The column {name} holds a {type(value).__name__}: neither text nor bytes.",
        hint="Adopt a column of text or bytes; make one from this in the database.",
    )


def _fernet(settings: TableSettings) -> Callable[[str, object], bytes]:
    fernet = _multi_fernet(settings)

    def decrypted(name: str, value: object) -> bytes:
        token = _as_it_is(name, value)
        try:
            return fernet.decrypt(token)
        except InvalidToken as error:
            raise DataError(
                "adopt.fernet",
                f"The column {name} holds no token of the Fernet keys that were given.",
                hint="Add the key that it was made with, or restore the row from a backup.",
            ) from error

    return decrypted


def _multi_fernet(settings: TableSettings) -> MultiFernet:
    keys = _fernet_keys(settings)
    try:
        return MultiFernet([Fernet(key.reveal()) for key in keys])
    except ValueError:
        # Not chained: its message may quote the key.
        raise CallerError(
            "adopt.fernet-key",
            f"The Fernet keys of {settings.name} are not what Fernet.generate_key() makes.",
            hint="One key a line: 32 bytes in URL-safe base64.",
        ) from None


def _fernet_keys(settings: TableSettings) -> Sequence[Secret]:
    if settings.fernet_key_file is not None:
        raw = read_private(settings.fernet_key_file, max_size=_MAX_KEY_FILE)
    else:
        raw = os.environ.get(settings.fernet_key_env or "", "").encode()
    keys = [Secret(line) for line in raw.split()]
    if not keys:
        raise CallerError(
            "adopt.fernet-key",
            f"There is no Fernet key for {settings.name}.",
            hint="See fernet-key-file and fernet-key-env in adopt.toml.",
        )
    return keys
