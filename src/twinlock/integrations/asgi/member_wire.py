"""The bodies of the member routes: JSON within bounds, bytes as base64url without padding."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, Self

from twinlock.errors import CallerError
from twinlock.integrations.asgi.wire import to_base64url

MAX_NAME: Final = 200
"""Characters of an account's name."""


class Fields:
    """The members of one body. Whatever is not as expected is CallerError ``http.body``."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read a JSON object; what it has beside what is asked for is ignored."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise malformed("is no JSON") from error
        if not isinstance(said, dict):
            raise malformed("is no JSON object")
        return cls(said)

    def text(self, name: str, most: int = MAX_NAME) -> str:
        """A text of 1 to ``most`` characters, all of them Unicode's."""
        value = self._said.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= most or not _is_unicode(value):
            raise malformed(f"has no {name} that is a text of at most {most} characters")
        return value

    def name(self, name: str) -> str | None:
        """A name, or None where it is null or missing."""
        return None if self._said.get(name) is None else self.text(name)

    def texts(self, name: str, most: int) -> list[str]:
        """A list of 1 to ``most`` short texts."""
        values = self._said.get(name)
        if not isinstance(values, list) or not 1 <= len(values) <= most:
            raise malformed(f"has no {name} that is a list of at most {most} texts")
        return [Fields({name: value}).text(name, 40) for value in values]

    def octets(self, name: str, most: int, least: int = 1) -> bytes:
        """Bytes, ``least`` to ``most`` of them."""
        value = self._said.get(name)
        found = _decoded(value) if isinstance(value, str) and len(value) <= most * 2 else None
        if found is None or not least <= len(found) <= most:
            raise malformed(f"has no {name} of {least} to {most} bytes in base64url")
        return found

    def exactly(self, name: str, size: int) -> bytes:
        """Bytes, exactly so many."""
        return self.octets(name, size, size)

    def perhaps(self, name: str, size: int) -> bytes | None:
        """Bytes, exactly so many, or None where it is null or missing."""
        return None if self._said.get(name) is None else self.exactly(name, size)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object."""
        value = self._said.get(name)
        if not isinstance(value, dict):
            raise malformed(f"has no {name} that is an object")
        return value


def written(said: Mapping[str, Any]) -> bytes:
    """Write an answer; bytes in it become base64url."""
    return json.dumps(said, default=_as_text, ensure_ascii=False).encode()


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return to_base64url(value)
    raise TypeError(f"a {type(value).__name__} does not go into JSON")


def _decoded(text: str) -> bytes | None:
    """Decode base64url in the one form that encodes it; None for anything else."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if to_base64url(found) == text else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def malformed(why: str) -> CallerError:
    """Return the error for a body that is not as its route takes it."""
    return CallerError(
        "http.body",
        f"The body {why}.",
        hint="Send what docs/http.md says for this route.",
    )
