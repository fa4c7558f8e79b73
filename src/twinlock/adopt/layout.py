"""How the old application's rows are read: by ``adopt.toml``, or by a class where that falls short.

A class of your own is named in ``adopt.toml`` (``layout = "app.legacy:PatientLayout"``), derives
from ``LegacyLayout`` and overrides what its table does in another way. It is given whole rows.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Final

from twinlock.adopt.settings import ColumnSettings, Encoding, GroupEntry, TableSettings
from twinlock.adopt.sources import PlainRow, plain_source
from twinlock.adopt.templates import Row, Template
from twinlock.core.adopted import LegacyCell
from twinlock.core.context import Context, RecordId
from twinlock.errors import CallerError, DataError, TwinlockError

NONCE_SIZE: Final = 12
GroupNames = Sequence[str | Sequence[str]]
"""Ways in: each a group's name, or several names of which every one is needed."""


class LegacyLayout:
    """Reads rows of one table as its settings say. Every method may be overridden."""

    def __init__(self, table: TableSettings) -> None:
        self.table = table

    def cells(self, row: Row) -> Mapping[str, LegacyCell]:
        """Return the row's legacy ciphertexts by declared column name; NULL ones are left out.

        Raises DataError ``adopt.malformed`` or ``adopt.no-text``.
        """
        return {
            column.name: self.cell(row, column)
            for column in self.table.columns
            if row[column.content] is not None
        }

    def cell(self, row: Row, column: ColumnSettings) -> LegacyCell:
        """Return one column's ciphertext, which is not NULL."""
        content = _bytes(column.content, row[column.content], column.encoding)
        if column.nonce is None:
            nonce, content = content[:NONCE_SIZE], content[NONCE_SIZE:]
        else:
            nonce = _bytes(column.nonce, row[column.nonce], column.encoding)
        if column.tag is not None:
            content += _bytes(column.tag, row[column.tag], column.encoding)
        return LegacyCell(nonce, content, self.additional_data(row, column))

    def additional_data(self, row: Row, column: ColumnSettings) -> bytes:
        """Return the additional data that a column's ciphertext was made with."""
        text = "" if column.aad is None else column.aad.render(row)
        if text is None:
            raise _malformed(f"a column that the template {column.name}.aad reads")
        return text.encode()

    def wrapped_dek(self, row: Row) -> bytes:
        """Return the DEK as it is encrypted to the token's old key."""
        if self.table.dek is None:
            raise CallerError(
                "adopt.no-dek",
                f"adopt.toml names no DEK column of {self.table.name}.",
                hint="Name it with dek, or override wrapped_dek() in the layout.",
            )
        return _bytes(self.table.dek, row[self.table.dek], self.table.dek_encoding)

    def key(self, row: Row) -> str:
        """Return the name, in ``[legacy-keys]``, of the key that the DEK is encrypted to."""
        if self.table.key_name is not None:
            return self.table.key_name
        value = None if self.table.key_column is None else row[self.table.key_column]
        if value is None:
            raise _malformed("the column that names the old key")
        return value.hex() if isinstance(value, bytes) else str(value)

    def plaintexts(self, row: Row) -> Mapping[str, bytes]:
        """Return what the row says, by declared column name, where no token is needed for it.

        For every source but ``hsm``; columns that are NULL are left out. Raises DataError
        ``adopt.malformed`` or ``adopt.fernet``.
        """
        return self._plain_source(row)

    @cached_property
    def _plain_source(self) -> PlainRow:
        return plain_source(self.table)

    def record(self, row: Row) -> RecordId:
        """Return the record id of the row's context: the primary key, in its declared type."""
        parts = tuple(self._key_part(row[name]) for name in self.table.key)
        return parts[0] if len(parts) == 1 else parts

    def tenant(self, row: Row) -> str:
        """Return the tenant of the row's context."""
        tenant = self.table.tenant.render(row)
        if tenant is None:
            raise _malformed("a column that the tenant comes from")
        return tenant

    def version(self, row: Row) -> int | None:
        """Return the version of the row's context."""
        return None if self.table.version is None else row[self.table.version]

    def groups(self, row: Row) -> GroupNames | None:
        """Return for whom the row is; None where it cannot be told. It is never guessed."""
        entries = [self._entry(entry, row) for entry in self.table.groups]
        known = [entry for entry in entries if entry is not None]
        return known if known and len(known) == len(entries) else None

    def context(self, row: Row) -> Context:
        """Return the row's context. Raises CallerError ``context.*``."""
        return Context(
            table=self.table.name,
            record=self.record(row),
            tenant=self.tenant(row),
            version=self.version(row),
        )

    def _key_part(self, value: object) -> RecordId:
        if self.table.key_is_uuid and isinstance(value, str):
            try:
                return uuid.UUID(value)
            except ValueError:
                raise _malformed("the key, which is no UUID") from None
        if isinstance(value, memoryview):
            return bytes(value)
        if isinstance(value, str | int | bytes | uuid.UUID):
            return value
        raise _malformed("the key, which has a type that a record id cannot have,")

    def _entry(self, entry: GroupEntry, row: Row) -> str | tuple[str, ...] | None:
        if isinstance(entry, Template):
            return self._group(entry, row)
        names = [self._group(one, row) for one in entry]
        present = tuple(name for name in names if name is not None)
        return present if len(present) == len(names) else None

    def _group(self, template: Template, row: Row) -> str | None:
        text = template.render(row)
        if not template.columns or not self.table.group_names or text is None:
            return text or None
        return self.table.group_names.get(text)


def layout_of(table: TableSettings) -> LegacyLayout:
    """Return a table's layout. Raises CallerError ``adopt.layout``."""
    if table.layout is None:
        return LegacyLayout(table)
    module_name, _, class_name = table.layout.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except ImportError as error:
        raise _no_layout(table.layout, f"{module_name} cannot be imported") from error
    if not isinstance(found, type) or not issubclass(found, LegacyLayout):
        raise _no_layout(
            table.layout, f"{class_name or 'it'} is no class derived from LegacyLayout"
        )
    return found(table)


@contextmanager
def layout_errors() -> Iterator[None]:
    """Turn what an application's own layout raises into an error of the row that it was given.

    Raises DataError ``adopt.layout-failed``.
    """
    try:
        yield
    except TwinlockError:
        raise
    except Exception as error:
        # Its text may quote the row, so only its type is told.
        raise DataError(
            "adopt.layout-failed",
            f"The layout failed for this row: {type(error).__name__}.",
            hint="Correct the LegacyLayout, or the row.",
        ) from error


def _bytes(name: str, value: object, encoding: Encoding) -> bytes:
    """Return a column's bytes; raw ones may come as text in base64 or hexadecimal."""
    raw = bytes(value) if isinstance(value, bytes | memoryview) else value
    if encoding is Encoding.RAW and isinstance(raw, bytes):
        return raw
    text = raw.decode("ascii", "replace") if isinstance(raw, bytes) else raw
    if not isinstance(text, str) or encoding is Encoding.RAW:
        raise _malformed(f"the column {name}, which holds no bytes,")
    try:
        if encoding is Encoding.HEX:
            return bytes.fromhex(text.removeprefix("\\x"))
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise _malformed(f"the column {name}, which is not {encoding.value},") from None


def _malformed(what: str) -> DataError:
    return DataError(
        "adopt.malformed",
        f"This row cannot be read as adopt.toml says: {what} is missing or malformed.",
        hint="Look at the row; correct it, or adopt.toml, or write a LegacyLayout.",
    )


def _no_layout(name: str, why: str) -> CallerError:
    return CallerError(
        "adopt.layout",
        f"The layout {name!r} cannot be used: {why}.",
        hint="Write package.module:Class, and have the package in PYTHONPATH.",
    )
