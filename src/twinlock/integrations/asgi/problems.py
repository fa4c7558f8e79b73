"""Errors as clients see them: ``application/problem+json`` (RFC 9457).

What a client can act on is told as it is. Faults of token, store and configuration show one of two
faces, and their own code goes to the operator's log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple

from twinlock.errors import CallerError, DataError, EnvError, TwinlockError
from twinlock.integrations.asgi.wire import PROBLEM_TYPE

TYPE_URI: Final = "https://twinlock.dev/problems/"
"""In front of the code. It names the kind of problem; nothing has to be found there."""
RETRY_AFTER: Final = 2
"""Seconds that a client is asked to wait where the server is busy or a device is away."""

_LOG: Final = logging.getLogger("twinlock.http")


class Told(NamedTuple):
    """How a code is told: status, and whether repeating the original request can help."""

    status: int
    retryable: bool = False


CODES: Final = MappingProxyType(
    {
        "http.release-needed": Told(428, True),
        "http.no-session": Told(401),
        "http.no-member": Told(403),
        "http.other-member": Told(403),
        "http.other-session": Told(403),
        "http.other-request": Told(403),
        "http.other-release": Told(403),
        "http.other-body": Told(403),
        "http.cross-site": Told(403),
        "http.request-id": Told(400),
        "http.request-unknown": Told(409, True),
        "http.request-expired": Told(410, True),
        "http.not-bound": Told(409),
        "http.not-released": Told(409),
        "http.hellos": Told(429, True),
        "http.too-large": Told(413),
        "http.header-too-large": Told(431),
        "http.busy": Told(503, True),
        "http.unavailable": Told(503, True),
        "http.failed": Told(500),
        "hello.malformed": Told(400),
        "hello.foreign": Told(403),
        "release.malformed": Told(400),
        "release.not-authentic": Told(403),
        "release.mismatch": Told(403),
        "release.withheld": Told(403),
        "release.replayed": Told(409, True),
        "release.key-reused": Told(409, True),
        "release.expired": Told(410, True),
        "record.no-lock": Told(403),
    }
)
"""What the flow tells by its own code. The table in docs/http.md is compared with this one."""

_RECORD_FAMILIES: Final = (
    "data.",
    "format.",
    "suite.",
    "record.",
    "opened.",
    "legacy.",
    "sealed.",
)
"""DataErrors about stored records: the server's data is wrong, so 500, but the code is told."""


def told(error: TwinlockError, codes: Mapping[str, Told] = CODES) -> Told:
    """Return how an error is told; for those of the table, and for refused records."""
    return codes.get(error.code, Told(500))


def public_face(error: TwinlockError, codes: Mapping[str, Told] = CODES) -> TwinlockError:
    """Return the error that a client may see in place of ``error``.

    ``codes`` are told as they are; with the flow's own, so are refused records. What it hides is
    logged by its code: messages about devices and files name places.
    """
    if error.code in codes:
        return error
    of_records = codes is CODES and isinstance(error, DataError)
    if of_records and error.code.startswith(_RECORD_FAMILIES):
        return error
    if isinstance(error, EnvError) and error.retryable:
        _LOG.warning("answered 503: %s", error.code)
        return EnvError(
            "http.unavailable",
            "The server cannot answer this at the moment.",
            hint="Repeat the request in a moment.",
            retryable=True,
        )
    _LOG.error("answered 500: %s", error.code)
    return EnvError(
        "http.failed",
        "The server failed at this.",
        hint="Tell whoever runs the server; its log names the reason.",
    )


def release_needed() -> TwinlockError:
    """Return what a 428 answer says. It is told, never raised."""
    return CallerError(
        "http.release-needed",
        "This answer holds sealed data that a member has to release.",
        hint="Post the agent's hello to this address, then its release; see docs/http.md.",
    )


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def problem(
    error: TwinlockError,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    codes: Mapping[str, Told] = CODES,
) -> Answer:
    """Return the answer for an error; ``headers`` are added. ``codes``: what may be told."""
    face = public_face(error, codes)
    status, retryable = told(face, codes)
    body = {
        "type": TYPE_URI + face.code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": face.message,
        "code": face.code,
        "hint": face.hint,
        "retryable": retryable,
    }
    more = (("retry-after", str(RETRY_AFTER)),) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()
    return answer(status, PROBLEM_TYPE, json.dumps(body).encode(), (*more, *headers))


def answer(
    status: int, media_type: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """Return an answer that no cache may keep."""
    all_headers = (
        ("content-type", media_type),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        *headers,
    )
    return Answer(
        status, [(k.encode("latin-1"), v.encode("latin-1")) for k, v in all_headers], body
    )
