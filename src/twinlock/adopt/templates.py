"""Templates over a row's SQL columns: ``patient:{id}:diagnosis``, ``{ward}``.

``{column}`` is replaced with the column's value, ``{column:hex}`` with the hexadecimal digits of
its bytes; ``{{`` and ``}}`` are braces. Values become text in one way only: integers in decimal,
UUIDs in lower case with hyphens, text as it is. Everything else has no one text, and is refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from twinlock.errors import CallerError, DataError

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_FIELD: Final = re.compile(r"(?P<column>[^:{}]+)(?::(?P<form>hex))?")

Row = Mapping[str, Any]
"""A row of the application's table: SQL column name to the driver's value."""


@dataclass(frozen=True, slots=True)
class _Field:
    column: str
    hexadecimal: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; ``source`` is what was written."""

    source: str
    _pieces: tuple[str | _Field, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The SQL columns that it reads, each once, in order."""
        named = [piece.column for piece in self._pieces if isinstance(piece, _Field)]
        return tuple(dict.fromkeys(named))

    def render(self, row: Row) -> str | None:
        """Return the text for a row; None when a column that it reads is NULL.

        Raises DataError ``adopt.no-text`` for a value that has no one text.
        """
        texts = [
            piece if isinstance(piece, str) else _text(piece, row[piece.column])
            for piece in self._pieces
        ]
        present = [text for text in texts if text is not None]
        return "".join(present) if len(present) == len(texts) else None


def parse_template(source: str) -> Template:
    """Parse a template. Raises CallerError ``adopt.template``."""
    pieces: list[str | _Field] = []
    for found in _PIECE.finditer(source):
        whole = found.group()
        if whole in ("{{", "}}"):
            pieces.append(whole[0])
        elif whole[0] in "{}":
            pieces.append(_field(source, found.group(1)))
        else:
            pieces.append(whole)
    return Template(source, tuple(pieces))


def _field(source: str, inside: str | None) -> _Field:
    match = None if inside is None else _FIELD.fullmatch(inside)
    if match is None:
        raise CallerError(
            "adopt.template",
            f"The template {source!r} has a brace that encloses no column.",
            hint="Write {column} or {column:hex}, and {{ for a brace.",
        )
    return _Field(match["column"], match["form"] == "hex")


def _text(field: _Field, value: object) -> str | None:
    match value:
        case None:
            return None
        case bytes() | memoryview() if field.hexadecimal:
            return bytes(value).hex()
        case uuid.UUID():
            return value.bytes.hex() if field.hexadecimal else str(value)
        case bool():
            pass
        case str() if not field.hexadecimal:
            return value
        case int() if not field.hexadecimal:
            return str(value)
        case _:
            pass
    raise DataError(
        "adopt.no-text",
        f"The column {field.column} holds a {type(value).__name__}, which has no one text.",
        hint="Use text, integers or UUIDs in templates, {column:hex} for bytes, or a LegacyLayout.",
    )
