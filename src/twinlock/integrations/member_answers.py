"""What member routes answer, as a client reads it: fields within bounds, problems as errors."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final

from twinlock.errors import CallerError, DataError, EnvError, TwinlockError

MAX_TOLD: Final = 500
"""Characters of a server's words that are passed on."""
_CODE: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


class ServiceRefusedError(CallerError):
    """The application refused; ``code`` is the one that its own library raised or told.

    Its words come from the server: they are for a person to read, and shortened.
    """


class ServiceFailedError(EnvError):
    """The application could not answer; ``code`` and words are the server's."""


class Answer:
    """The JSON object of an answer. Whatever is not as expected: ``member-service.answer``."""

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said

    @classmethod
    def of(cls, status: int, media_type: str, body: bytes) -> Answer:
        """Read a whole answer. Raises ServiceRefusedError, ServiceFailedError, or DataError."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if status != 200:
            raise _problem(status, said if media_type == "application/problem+json" else None)
        if not isinstance(said, dict):
            raise unreadable("it is no JSON object")
        return cls(said)

    def all(self) -> dict[str, Any]:
        """All members of the object."""
        return dict(self._said)

    def text(self, name: str) -> str:
        """A text."""
        value = self._said.get(name)
        if not isinstance(value, str):
            raise unreadable(f"its {name} is no text")
        return value

    def octets(self, name: str) -> bytes:
        """Bytes, which are base64url without padding."""
        return decoded(self._said.get(name))

    def octets_list(self, name: str) -> list[bytes]:
        """A list of bytes."""
        return [decoded(value) for value in self.rows(name)]

    def rows(self, name: str) -> list[Any]:
        """A list."""
        values = self._said.get(name)
        if not isinstance(values, list):
            raise unreadable(f"its {name} is no list")
        return values

    def pairs(self, name: str) -> list[tuple[bytes, bytes]]:
        """A list of pairs of bytes."""
        values = self.rows(name)
        pairs = [pair for pair in values if isinstance(pair, list) and len(pair) == 2]
        if len(pairs) != len(values):
            raise unreadable(f"its {name} is no list of pairs")
        return [(decoded(one), decoded(other)) for one, other in pairs]


def encoded(raw: bytes) -> str:
    """Return bytes as they stand in JSON: base64url without padding (RFC 4648, 5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unreadable(why: str) -> DataError:
    """Return the error for an answer that is not what was asked for."""
    return DataError(
        "member-service.answer",
        f"The application's answer is not what was asked for: {why}.",
        hint="Check that the address is that of its member routes, and both sides' versions.",
    )


def decoded(value: object) -> bytes:
    """Return the bytes that a text stands for. Raises ``member-service.answer``."""
    if isinstance(value, str) and "=" not in value:
        try:
            return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise unreadable("it has a value that is not base64url") from error
    raise unreadable("it lacks bytes in base64url")


def _problem(status: int, said: object) -> TwinlockError:
    told = said if isinstance(said, dict) else {}
    code = told.get("code")
    if not isinstance(code, str) or _CODE.fullmatch(code) is None or len(code) > MAX_TOLD:
        return unreadable(f"status {status} without a problem that is known here")
    message, hint = _words(told.get("detail")), _words(told.get("hint"))
    if status >= 500:
        return ServiceFailedError(code, message, hint=hint, retryable=told.get("retryable") is True)
    return ServiceRefusedError(code, message, hint=hint)


def _words(said: object) -> str:
    """Return what a person may be shown of a server's text: nothing that moves a cursor."""
    text = said if isinstance(said, str) else ""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TOLD])
