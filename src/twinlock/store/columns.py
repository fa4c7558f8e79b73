"""Column types that hold on both databases, and that refuse what is not of their type.

SQLite takes any value in any column, so a value is checked on its way in (``store.value-invalid``)
and, because a database writer does not come this way, on its way out (``store.damaged``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from twinlock.errors import CallerError, EnvError

INT64_MAX = 2**63 - 1


def _invalid(what: str) -> CallerError:
    return CallerError(
        "store.value-invalid",
        f"The store cannot keep this value: {what}.",
        hint="Check the argument; nothing was written.",
    )


def _damaged(what: str) -> EnvError:
    return EnvError(
        "store.damaged",
        f"The database holds a value that Twinlock never writes: {what}.",
        hint="Stop writing to it, and compare it with a backup.",
    )


class Octets(TypeDecorator[bytes]):
    """Bytes, of exactly ``length`` where one is given."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def _fault(self, value: object) -> str | None:
        if not isinstance(value, bytes):
            return f"{type(value).__name__} in place of bytes"
        if self.length is not None and len(value) != self.length:
            return f"{len(value)} bytes in place of {self.length}"
        return None

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        if value is not None and (fault := self._fault(value)):
            raise _invalid(fault)
        return value  # type: ignore[no-any-return]

    def result_processor(
        self,
        dialect: Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], bytes | None]:
        # Replaces the processor of LargeBinary: its bytes(5) would turn a planted 5 into zeros.
        def process(value: Any) -> bytes | None:
            if value is not None and (fault := self._fault(value)):
                raise _damaged(fault)
            return value  # type: ignore[no-any-return]

        return process


class Name(TypeDecorator[str]):
    """Text that both databases can hold: encodable as UTF-8, without NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        if not isinstance(value, str):
            raise _invalid(f"{type(value).__name__} in place of text")
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise _invalid("text with NUL or a lone surrogate")
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is not None and not isinstance(value, str):
            raise _damaged(f"{type(value).__name__} in place of text")
        return value


class Number(TypeDecorator[int]):
    """A non-negative integer below 2**63."""

    # Integer, because only INTEGER PRIMARY KEY counts up by itself on SQLite; it has 64 bits there.
    impl = BigInteger().with_variant(Integer(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= INT64_MAX:
            raise _invalid("not an integer from 0 to 2**63 - 1")
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002
        if value is not None and type(value) is not int:
            raise _damaged(f"{type(value).__name__} in place of an integer")
        return value
