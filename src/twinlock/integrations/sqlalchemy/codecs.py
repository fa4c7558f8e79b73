"""How a value becomes the bytes that are sealed, by the type in ``Sealed[T]``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType, UnionType
from typing import Any, Final, Protocol, Union, get_args, get_origin

from twinlock.errors import CallerError


class Codec(Protocol):
    """Turns a value into bytes and back.

    ``encode`` raises TypeError or ValueError for what it does not take, ``decode`` one of these or
    ArithmeticError for bytes that are not its own. No message of theirs reaches anybody, since it
    may show the value.
    """

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal."""
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value."""
        ...


@dataclass(frozen=True, slots=True)
class TextCodec:
    """A codec by way of text in UTF-8, for values of exactly one type.

    A subclass is refused: a bool in a column of integers, or a datetime in one of dates, would
    come back as something else.
    """

    kind: type
    to_text: Callable[[Any], str]
    from_text: Callable[[str], Any]

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal."""
        if type(value) is not self.kind:
            raise TypeError
        return self.to_text(value).encode()

    def decode(self, data: bytes) -> Any:
        """Return the value."""
        return self.from_text(data.decode())


class BytesCodec:
    """Bytes as they are."""

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal."""
        if not isinstance(value, bytes):
            raise TypeError
        return value

    def decode(self, data: bytes) -> bytes:
        """Return the value."""
        return data


class StrCodec:
    """Text in UTF-8; subclasses of str, such as a StrEnum's members, come back as str."""

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal."""
        if not isinstance(value, str):
            raise TypeError
        return value.encode()

    def decode(self, data: bytes) -> str:
        """Return the value."""
        return data.decode()


def _to_json(value: Any) -> str:
    # RFC 8259 knows no NaN.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


CODECS: Final[Mapping[type, Codec]] = MappingProxyType(
    {
        str: StrCodec(),
        bytes: BytesCodec(),
        int: TextCodec(int, str, int),
        date: TextCodec(date, date.isoformat, date.fromisoformat),
        datetime: TextCodec(datetime, datetime.isoformat, datetime.fromisoformat),
        Decimal: TextCodec(Decimal, str, Decimal),
        dict: TextCodec(dict, _to_json, json.loads),
        list: TextCodec(list, _to_json, json.loads),
    }
)
"""int as decimal digits, dates as ISO 8601, dict and list as JSON (RFC 8259)."""


def codec_for(annotation: Any) -> Codec:
    """Return the codec of a T, or of ``T | None``. Raises CallerError ``sealed.codec``."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        if len(rest) == 1:
            return codec_for(rest[0])
    found = CODECS.get(origin or annotation) if isinstance(origin or annotation, type) else None
    if found is None:
        raise CallerError(
            "sealed.codec",
            f"There is no codec for sealed values of the type {annotation!r}.",
            hint=f"Use one of {', '.join(t.__name__ for t in CODECS)}, or pass codec=.",
        )
    return found


def encode(codec: Codec, name: str, value: Any) -> bytes:
    """Encode a value. Raises CallerError ``sealed.type``, which does not show it."""
    encoded: bytes | None
    try:
        encoded = codec.encode(value)
    except (TypeError, ValueError, RecursionError):
        encoded = None
    # Raised out here, because that error may hold the plaintext and must not be chained to this.
    if not isinstance(encoded, bytes):
        raise CallerError(
            "sealed.type",
            f"{name} does not take a {type(value).__name__} of this kind.",
            hint="Assign a value of the annotated type, or give the column another codec.",
        )
    return encoded
