"""Secrets that do not show themselves by accident.

Python cannot promise to wipe memory, so neither does this type (docs/limitations.md). It promises
that a secret reaches a log, a repr, a pickle or a comparison only through one greppable method.
"""

from __future__ import annotations

import hmac
from typing import NoReturn, final


@final
class Secret:
    """Bytes that only ``reveal()`` shows. Not hashable, not picklable, no ``==`` with bytes."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes. The only way out."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return "Secret(redacted)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            raise TypeError("a Secret compares with another Secret only")
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError("a Secret has no truth value; ask for its length or compare Secrets")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled or copied")


@final
class SecretText:
    """Decrypted text that only ``reveal()`` shows, for the same reasons as ``Secret``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text. The only way out."""
        return self._value

    def __repr__(self) -> str:
        return "SecretText(redacted)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        raise TypeError("compare revealed text, not a SecretText")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError("a SecretText has no truth value")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecretText is never pickled or copied")
