"""What ``adopt.toml`` says, as values. ``reading`` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from twinlock.adopt.templates import Template
from twinlock.errors import CallerError


class Source(StrEnum):
    """How the old application keeps what is to be adopted."""

    HSM = "hsm"
    """Ciphertext beside a DEK that is RSA-OAEP-encrypted to a key of the token."""
    PLAINTEXT = "plaintext"
    FERNET = "fernet"
    """Fernet tokens (cryptography's MultiFernet), under keys of a file or the environment."""
    LAYOUT = "layout"
    """In a way that only the application's own code reads: a ``LegacyLayout`` decrypts."""


class Mode(StrEnum):
    """The two ways in (ADR 9)."""

    REWRAP = "rewrap"
    RESEAL = "reseal"


class Encoding(StrEnum):
    """How bytes stand in a column."""

    RAW = "raw"
    BASE64 = "base64"
    HEX = "hex"


@dataclass(frozen=True, slots=True)
class LegacyKeySettings:
    """An old key of the token that DEKs are encrypted to.

    Exactly one of ``cka_id`` and ``label`` is set. ``public`` is the file with its public key: the
    key in the token is compared with it. ``oaep_hash`` and ``mgf_hash`` are ``sha1`` or ``sha256``.
    """

    name: str
    cka_id: bytes | None
    label: str | None
    public: Path
    oaep_hash: str
    mgf_hash: str
    oaep_label: bytes


@dataclass(frozen=True, slots=True)
class ColumnSettings:
    """One adopted column. ``name`` is its declared name, the others are SQL columns.

    ``content`` is the old column: ciphertext, Fernet token or plaintext. ``nonce`` is None where
    the nonce stands in front of the ciphertext (12 bytes), ``tag`` where the tag stands behind it.
    ``aad`` is None for no additional data. ``target`` takes native cells.
    """

    name: str
    content: str
    nonce: str | None
    tag: str | None
    aad: Template | None
    target: str
    encoding: Encoding

    @property
    def legacy(self) -> tuple[str, ...]:
        """The SQL columns that hold what the old application wrote."""
        return tuple(name for name in (self.content, self.nonce, self.tag) if name is not None)


GroupEntry = Template | tuple[Template, ...]
"""One way in: a group's name, or several of which every one is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """One table to adopt. ``name`` is its declared name, ``table`` the one in SQL.

    ``target`` takes heads: of adopted rows and of native ones. ``watch`` are further SQL columns
    whose change makes an adopted head stale.
    """

    table: str
    schema: str | None
    name: str
    key: tuple[str, ...]
    key_is_uuid: bool
    tenant: Template
    version: str | None
    source: Source
    dek: str | None
    dek_encoding: Encoding
    key_name: str | None
    key_column: str | None
    groups: tuple[GroupEntry, ...]
    group_names: Mapping[str, str]
    target: str
    columns: tuple[ColumnSettings, ...]
    layout: str | None
    watch: tuple[str, ...]
    fernet_key_file: Path | None
    fernet_key_env: str | None

    def column(self, name: str) -> ColumnSettings:
        """Return a column by its declared name. Raises CallerError ``adopt.no-column``."""
        for column in self.columns:
            if column.name == name:
                return column
        raise CallerError(
            "adopt.no-column",
            f"adopt.toml declares no column {name!r} of {self.name}.",
            hint=f"It declares {', '.join(column.name for column in self.columns)}.",
        )

    @property
    def old(self) -> tuple[str, ...]:
        """The SQL columns that hold what the old application wrote: contents, then the DEK."""
        legacy = [name for column in self.columns for name in column.legacy]
        dek = [] if self.dek is None else [self.dek]
        return tuple(dict.fromkeys([*legacy, *dek]))

    @property
    def targets(self) -> tuple[str, ...]:
        """The SQL columns that adoption writes: heads, then cells."""
        return (self.target, *(column.target for column in self.columns))

    @property
    def placed(self) -> tuple[str, ...]:
        """The SQL columns that context and groups come from: native cells are bound to them."""
        templates = [self.tenant, *(t for entry in self.groups for t in each(entry))]
        named = [name for template in templates for name in template.columns]
        version = [] if self.version is None else [self.version]
        return tuple(dict.fromkeys([*self.key, *named, *version, *self.watch]))

    @property
    def bound(self) -> tuple[str, ...]:
        """The SQL columns that context, groups, key and additional data come from."""
        aads = [column.aad for column in self.columns if column.aad is not None]
        named = [name for template in aads for name in template.columns]
        key_column = [] if self.key_column is None else [self.key_column]
        return tuple(dict.fromkeys([*self.placed, *named, *key_column]))


def each(entry: GroupEntry) -> tuple[Template, ...]:
    """Return the groups' templates of one way in."""
    return (entry,) if isinstance(entry, Template) else entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A whole ``adopt.toml``.

    ``database_url`` is None for Twinlock's own store. ``authority`` is the group in whose log the
    columns' states are signed. ``suite`` is None for the deployment's.
    """

    path: Path
    database_url: str | None
    authority: str
    suite: str | None
    keys: Mapping[str, LegacyKeySettings]
    tables: tuple[TableSettings, ...]

    def table(self, name: str) -> TableSettings:
        """Return a table by its declared name. Raises CallerError ``adopt.no-table``."""
        for table in self.tables:
            if table.name == name:
                return table
        raise CallerError(
            "adopt.no-table",
            f"{self.path.name} declares no table {name!r}.",
            hint=f"It declares {', '.join(table.name for table in self.tables)}.",
        )
