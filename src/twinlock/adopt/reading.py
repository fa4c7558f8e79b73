"""Reading ``adopt.toml``. Paths are relative to its folder; it holds no secret."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twinlock.adopt.places import Places
from twinlock.adopt.sections import Section
from twinlock.adopt.settings import (
    Adoption,
    ColumnSettings,
    Encoding,
    GroupEntry,
    LegacyKeySettings,
    Source,
    TableSettings,
)
from twinlock.adopt.templates import parse_template
from twinlock.core.context import ROW_SCOPE, require_nfc
from twinlock.errors import CallerError, EnvError

DEFAULT_TARGET: Final = "twinlock_dek"
_OAEP_HASHES: Final = ("sha1", "sha256")
_ENCODINGS: Final = tuple(Encoding)
_TABLE_KEYS: Final = (
    *("table", "schema", "name", "key", "key-is-uuid", "tenant", "version", "source", "dek"),
    *("encoding", "legacy-key", "legacy-key-column", "groups", "group-names", "target"),
    *("columns", "layout", "watch", "fernet-key-file", "fernet-key-env", "contracted"),
)
_COLUMN_KEYS: Final = ("name", "ciphertext", "plaintext", "nonce", "tag", "aad", "target")


def load_adoption(path: str | Path) -> Adoption:
    """Read an adoption's configuration.

    Raises CallerError ``adopt.config-missing`` or ``adopt.config`` (naming the line), EnvError
    ``adopt.config-unreadable``.
    """
    file = Path(path).absolute()
    text = _text(file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CallerError(
            "adopt.config",
            f"{file.name} is not valid TOML: {error}.",
            hint="See docs/howto-adopt.md for what adopt.toml says.",
        ) from error
    return _adoption(Section(file, Places(text), (), values))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CallerError(
            "adopt.config-missing",
            f"There is no {file}.",
            hint="Write one as docs/howto-adopt.md shows, or name it with --adopt FILE.",
        ) from error
    except UnicodeDecodeError as error:
        raise CallerError(
            "adopt.config", f"{file.name} is not UTF-8 text.", hint="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise EnvError(
            "adopt.config-unreadable", f"{file} cannot be read.", hint="Check its permissions."
        ) from error


def _adoption(root: Section) -> Adoption:
    root.only(("database", "adopt", "legacy-keys", "tables"))
    adopt = root.section("adopt")
    adopt.only(("authority", "suite"))
    named = root.section("legacy-keys")
    keys = {name: _key(named.section(name), name) for name in named.values}
    tables = tuple(_table(section, keys) for section in root.sections("tables"))
    _require_different(root, tables)
    return Adoption(
        path=root.file,
        database_url=_database_url(root.section("database"), root.file.parent),
        authority=adopt.text("authority"),
        suite=adopt.optional("suite"),
        keys=keys,
        tables=tables,
    )


def _database_url(section: Section, folder: Path) -> str | None:
    section.only(("url", "url-env"))
    url, variable = section.optional("url"), section.optional("url-env")
    if url is not None and variable is not None:
        section.refuse("url and url-env exclude each other", "url-env")
    if variable is not None:
        url = os.environ.get(variable)
        if not url:
            section.refuse(f"the environment variable {variable} is not set", "url-env")
    prefix = "sqlite:///"
    if url is not None and url.startswith(prefix) and not url.startswith(prefix + "/"):
        return f"{prefix}{folder / url.removeprefix(prefix)}"
    return url


def _key(section: Section, name: str) -> LegacyKeySettings:
    section.only(("id", "label", "public", "oaep-hash", "mgf-hash", "oaep-label"))
    cka_id, label = section.hexadecimal("id"), section.optional("label")
    if (cka_id is None) == (label is None):
        section.refuse("needs either id (CKA_ID, hexadecimal) or label (CKA_LABEL)")
    public = section.path("public")
    if public is None:
        section.refuse("public is missing: the file with the key's public half")
    oaep_label = (section.optional("oaep-label") or "").encode()
    oaep_hash = section.choice("oaep-hash", _OAEP_HASHES, "sha1")
    mgf_hash = section.choice("mgf-hash", _OAEP_HASHES, oaep_hash)
    return LegacyKeySettings(name, cka_id, label, public, oaep_hash, mgf_hash, oaep_label)


def _table(section: Section, keys: Mapping[str, LegacyKeySettings]) -> TableSettings:
    section.only(_TABLE_KEYS)
    source = Source(section.choice("source", tuple(Source), Source.HSM))
    table, schema = section.text("table"), section.optional("schema")
    encoding = Encoding(section.choice("encoding", _ENCODINGS, Encoding.RAW))
    columns = tuple(_column(one, source, encoding) for one in section.sections("columns"))
    contracted = section.flag("contracted")
    key = section.texts("key")
    if not key:
        section.refuse("key is missing: the primary key's column, or all of them")
    made = TableSettings(
        table=table,
        schema=schema,
        name=_declared(section, section.optional("name") or table, "name"),
        key=key,
        key_is_uuid=section.flag("key-is-uuid"),
        tenant=section.template("tenant") or parse_template(""),
        version=section.optional("version"),
        source=source,
        dek=None if contracted else section.optional("dek"),
        dek_encoding=encoding,
        key_name=section.optional("legacy-key"),
        key_column=section.optional("legacy-key-column"),
        groups=_groups(section),
        group_names=_group_names(section.section("group-names")),
        target=section.optional("target") or DEFAULT_TARGET,
        columns=columns,
        layout=section.optional("layout"),
        watch=section.texts("watch"),
        fernet_key_file=section.path("fernet-key-file"),
        fernet_key_env=section.optional("fernet-key-env"),
    )
    _require_source(section, made, keys)
    _require_separate(section, made)
    return made


def _column(section: Section, source: Source, encoding: Encoding) -> ColumnSettings:
    section.only(_COLUMN_KEYS)
    name = _declared(section, section.text("name"), "name")
    if name == ROW_SCOPE:
        section.refuse(f"{ROW_SCOPE!r} is not a column's name", "name")
    content = section.text("plaintext" if source is Source.PLAINTEXT else "ciphertext")
    if source is not Source.HSM:
        for key in ("nonce", "tag", "aad"):
            if key in section.values:
                section.refuse(f"{key} does not go with source = {source.value!r}", key)
    return ColumnSettings(
        name=name,
        content=content,
        nonce=section.optional("nonce"),
        tag=section.optional("tag"),
        aad=section.template("aad"),
        target=section.optional("target") or f"{name}_sealed",
        encoding=encoding if source is Source.HSM else Encoding.RAW,
    )


def _declared(section: Section, name: str, key: str) -> str:
    try:
        require_nfc(key, name)
    except CallerError:
        section.refuse(f"{key} is not in Unicode normalization form C", key)
    return name


def _groups(section: Section) -> tuple[GroupEntry, ...]:
    found = section.values.get("groups", [])
    entries = [found] if isinstance(found, str) else found
    if not isinstance(entries, list):
        section.refuse("groups is not a list", "groups")
    return tuple(_group_entry(section, entry) for entry in entries)


def _group_entry(section: Section, entry: Any) -> GroupEntry:
    if isinstance(entry, str) and entry:
        return section.parsed(entry, "groups")
    if not isinstance(entry, list) or len(entry) < 2 or not all(isinstance(x, str) for x in entry):
        section.refuse("an entry of groups is neither a group nor a list of several", "groups")
    return tuple(section.parsed(one, "groups") for one in entry)


def _group_names(section: Section) -> dict[str, str]:
    return {key: section.text(key) for key in section.values}


def _require_source(
    section: Section, table: TableSettings, keys: Mapping[str, LegacyKeySettings]
) -> None:
    if not table.groups and table.layout is None:
        section.refuse("groups is missing: for whom the rows are")
    if table.source is Source.LAYOUT and table.layout is None:
        section.refuse("source = 'layout' needs layout: a class that decrypts")
    if table.source is Source.FERNET:
        if (table.fernet_key_file is None) == (table.fernet_key_env is None):
            section.refuse("source = 'fernet' needs either fernet-key-file or fernet-key-env")
    elif table.fernet_key_file is not None or table.fernet_key_env is not None:
        section.refuse("fernet-key-… goes with source = 'fernet' only")
    if table.source is not Source.HSM or table.layout is not None or section.flag("contracted"):
        return
    if table.dek is None:
        section.refuse("dek is missing: the column with the wrapped DEK")
    if (table.key_name is None) == (table.key_column is None):
        section.refuse("needs either legacy-key or legacy-key-column")
    if table.key_name is not None and table.key_name not in keys:
        section.refuse(f"[legacy-keys.{table.key_name}] is missing", "legacy-key")


def _require_separate(section: Section, table: TableSettings) -> None:
    """What is written must be no column that the old application reads or writes."""
    written = [table.target, *(column.target for column in table.columns)]
    read = {*table.bound, *(name for column in table.columns for name in column.legacy)}
    read |= {name for name in (table.dek,) if name is not None}
    for name in written:
        if name in read or written.count(name) > 1:
            section.refuse(f"the target column {name!r} is used twice")
    names = [column.name for column in table.columns]
    if len(set(names)) != len(names):
        section.refuse("two columns have one name")


def _require_different(root: Section, tables: tuple[TableSettings, ...]) -> None:
    names = [table.name for table in tables]
    targets = [
        (table.schema, table.table, target)
        for table in tables
        for target in (table.target, *(column.target for column in table.columns))
    ]
    if len(set(names)) != len(names):
        root.refuse("two tables have one name", "tables")
    if len(set(targets)) != len(targets):
        root.refuse("two tables write into one column", "tables")
