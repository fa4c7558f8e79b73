"""``Sealed[T]``: what a mapped attribute holds instead of its value.

Before the flush it holds what is to be sealed, afterwards the stored bytes. Neither can be taken
for the value: everything that would compare, print, iterate or calculate raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, NoReturn, TypeVar

from sqlalchemy.exc import DontWrapMixin

from twinlock.core.secret import Secret
from twinlock.errors import CallerError

T = TypeVar("T")


class SealedUseError(CallerError, TypeError, DontWrapMixin):
    """A sealed attribute was used as if it were its value, in Python or in SQL.

    SQLAlchemy passes it on as it is: wrapped, it would show the statement's parameters.
    """


class Sealed(Generic[T]):
    """A sealed attribute's value, or one that waits to be sealed.

    ``Sealed(value)`` waits: assign it where a type checker wants a ``Sealed[T]``; assigning the
    plain value does the same. Read a stored one by opening its row.
    """

    __slots__ = ("__weakref__", "_raw", "_waiting")

    _raw: bytes | None
    _waiting: Any

    def __init__(self, value: T) -> None:
        self._raw = None
        self._waiting = value

    @classmethod
    def from_bytes(cls, raw: bytes) -> Sealed[T]:
        """Return the handle of stored bytes, as ``to_bytes`` gave them."""
        made: Sealed[T] = cls.__new__(cls)
        made._raw = bytes(raw)
        made._waiting = None
        return made

    def to_bytes(self) -> bytes:
        """Return the stored bytes. Raises ``sealed.use`` before the row was flushed."""
        if self._raw is None:
            raise SealedUseError(
                "sealed.use",
                "This value is not sealed yet: that happens when its row is flushed.",
                hint="Flush the session first.",
            )
        return self._raw

    def __repr__(self) -> str:
        return "Sealed(to be sealed)" if self._raw is None else "Sealed(redacted)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SealedUseError(
            "sealed.use",
            "A sealed value is never pickled or copied.",
            hint="Keep the row's primary key, and load the row where it is needed.",
        )


class OldValue(Sealed[Any]):
    """The handle of a value in an adopted table that the old application wrote, in its columns.

    ``row`` is the identity key of its row: it can be assigned to no other.
    """

    __slots__ = ("row",)

    def __init__(self, row: object) -> None:
        super().__init__(None)
        self.row = row

    def to_bytes(self) -> NoReturn:
        """Raise ``sealed.use``: there are no sealed bytes."""
        raise SealedUseError(
            "sealed.use",
            "This value is still where the old application wrote it.",
            hint="Assign a value to seal it anew, or adopt the row.",
        )

    def __repr__(self) -> str:
        return "Sealed(redacted)"


def waiting(encoded: Secret) -> Sealed[Any]:
    """Return a handle whose value was encoded and waits for the flush."""
    return Sealed(encoded)


def waits(value: object) -> bool:
    """Return whether an attribute's value waits to be sealed."""
    return isinstance(value, Sealed) and value._raw is None and not isinstance(value, OldValue)


def waiting_value(handle: Sealed[Any]) -> Any:
    """Return what waits in a handle: a Secret once it was assigned, before that a plain value."""
    return handle._waiting


_REFUSED: Final = (
    *("eq", "ne", "lt", "le", "gt", "ge", "hash", "bool", "str", "format", "bytes"),
    *("len", "iter", "contains", "getitem", "int", "float", "index", "round"),
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "mod", "rmod"),
    *("and", "or", "xor", "neg", "abs"),
)
"""The special methods that would take a sealed value for its plaintext."""


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(_self: object, *_: object) -> NoReturn:
        raise SealedUseError(
            "sealed.use",
            f"This attribute is sealed, so it has no {name}.",
            hint="Open its row, and use the attribute of the view that this gives.",
        )

    return refuse


for _name in _REFUSED:
    setattr(Sealed, f"__{_name}__", _refusal(_name))
