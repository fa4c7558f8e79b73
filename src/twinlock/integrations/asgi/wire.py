"""Names and small values of the HTTP flow, as they stand on the wire (SPEC 23, docs/http.md)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from twinlock.core.primitives import sha256
from twinlock.core.release import MAX_RELEASE_SIZE
from twinlock.errors import CallerError, DataError

REQUEST_HEADER: Final = "twinlock-request"
SESSION_HEADER: Final = "twinlock-session"
HELLO_HEADER: Final = "twinlock-hello"
RELEASE_HEADER: Final = "twinlock-release"

HELLO_TYPE: Final = "application/twinlock-hello"
REQUEST_TYPE: Final = "application/twinlock-request"
RELEASE_TYPE: Final = "application/twinlock-release"
PROBLEM_TYPE: Final = "application/problem+json"

VARY: Final = "Cookie, Authorization, Twinlock-Hello, Twinlock-Release"
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})

MAX_HELLO_HEADER: Final = 8192
"""Characters of a ``Twinlock-Hello``; servers and proxies take little more in one header."""
MAX_HELLO_BODY: Final = 1 << 20
MAX_RELEASE_BODY: Final = MAX_RELEASE_SIZE + 256
"""A release and, around it, label and signature."""

_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{22})")
_RELEASE: Final = re.compile(r"([A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})=?")
_SESSION_LABEL: Final = b"twinlock/v1/http-session"


class RequestId(NamedTuple):
    """Names a pending request: the process that holds it, and 16 random bytes in base64url."""

    node: str
    name: str

    def __str__(self) -> str:
        return f"{self.node}.{self.name}"


def parse_request_id(text: str) -> RequestId:
    """Parse ``<node>.<id>``. Raises CallerError ``http.request-id``."""
    found = _ID.fullmatch(text)
    if found is None:
        raise CallerError(
            "http.request-id",
            "Twinlock-Request does not name a request.",
            hint="Send the value of the Twinlock-Request header of the 428 answer.",
        )
    return RequestId(found[1], found[2])


class ReleaseName(NamedTuple):
    """Names a release that was posted: the request's id, and the release's digest as text."""

    request_id: RequestId
    digest: str


def parse_release_name(text: str) -> ReleaseName:
    """Parse ``<node>.<id>.<digest>``. Raises CallerError ``http.request-id``."""
    found = _RELEASE.fullmatch(text)
    if found is None:
        raise CallerError(
            "http.request-id",
            "Twinlock-Release does not name a request and its release.",
            hint="Send the request's id, a dot, and the release's SHA-256 in base64url.",
        )
    return ReleaseName(parse_request_id(found[1]), found[2])


def release_digest(release: bytes) -> str:
    """Return what a repetition names a release by: SHA-256 of its bytes in base64url."""
    return to_base64url(sha256(release))


def public_session(token: str | bytes) -> bytes:
    """Return the 32 bytes that stand for a login session in public; text is taken as UTF-8."""
    raw = token.encode() if isinstance(token, str) else token
    return sha256(_SESSION_LABEL + raw)


def to_base64url(raw: bytes) -> str:
    """Encode (RFC 4648 section 5, no padding)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Decode, with or without padding. Raises DataError ``hello.malformed``."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed_hello() from error


def malformed_hello() -> DataError:
    """Return the error for a hello that cannot be read."""
    return DataError(
        "hello.malformed",
        "This is not an agent's hello.",
        hint="Send the bytes that Agent.hello() returned.",
    )


def media_type(headers: Mapping[str, str]) -> str:
    """Return the content type without parameters, in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
