"""FastAPI: ``releases()`` as a dependency, and 428 in the application's schema by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, Final

from fastapi import Depends, FastAPI
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from twinlock.integrations.asgi import (
    Limits,
    ReleaseNeeded,
    Releases,
    SyncReleases,
    TwinlockMiddleware,
)
from twinlock.integrations.asgi.middleware import on_application
from twinlock.integrations.asgi.wire import PROBLEM_TYPE, REQUEST_TYPE
from twinlock.server.groups import Group

__all__ = [
    "Limits",
    "ReleaseNeeded",
    "Releases",
    "SyncReleases",
    "TwinlockMiddleware",
    "document",
    "releases",
]

_MARK: Final = "Twinlock"


class _Mark(SecurityBase):
    """Marks an operation in the schema, by the one way that dependencies have to say something."""

    def __init__(self) -> None:
        self.model = APIKey.model_validate({"in": APIKeyIn.header, "name": "Twinlock-Release"})
        self.scheme_name = _MARK

    async def __call__(self) -> None:
        """Do nothing at run time."""


_mark: Final = _Mark()


def releases(
    *,
    purpose: str = "",
    items: Callable[..., Any] | None = None,
    groups: Iterable[str | Group] | None = None,
) -> Callable[..., Awaitable[Releases]]:
    """Return a dependency that gives a handler its ``Releases``: ``Depends(releases(...))``.

    ``purpose`` is shown to the member. ``items`` is a dependency itself: it returns the rows, or
    pairs of context and stored value, that are opened before the handler's body runs; they are in
    ``Releases.loaded``. Methods other than GET and HEAD need it. ``groups``: whose records are
    expected, by name; all that the server trusts by default.
    """
    expected = None if groups is None else tuple(groups)

    marked = Depends(_mark)

    async def plain(connection: HTTPConnection, _: Any = marked) -> Releases:
        return Releases.of(connection, purpose=purpose, groups=expected)

    if items is None:
        return plain

    load = Depends(items)

    async def loaded(connection: HTTPConnection, named: Any = load, _: Any = marked) -> Releases:
        made = Releases.of(connection, purpose=purpose, groups=expected)
        await made.load(named)
        return made

    return loaded


def document(application: object) -> None:
    """Describe 428 in a FastAPI application's schema, for each operation with ``releases()``.

    The middleware does it at the first connection; call it before writing the schema to a file.
    """
    if not isinstance(application, FastAPI) or hasattr(application.openapi, "__wrapped__"):
        return
    plain = application.openapi

    @wraps(plain)
    def openapi() -> dict[str, Any]:
        return _described(plain())

    application.openapi = openapi  # type: ignore[method-assign]


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            if isinstance(operation, dict) and {_MARK: []} in operation.get("security", ()):
                _describe(operation)
    schemes = schema.get("components", {}).get("securitySchemes", {})
    if schemes.pop(_MARK, None) is not None and not schemes:
        del schema["components"]["securitySchemes"]
    return schema


def _describe(operation: dict[str, Any]) -> None:
    operation["security"].remove({_MARK: []})
    if not operation["security"]:
        del operation["security"]
    header = {"required": True, "schema": {"type": "string"}}
    operation.setdefault("responses", {})["428"] = {
        "description": "The answer holds sealed data that a member's agent has to release first.",
        "headers": {"Twinlock-Request": header, "Twinlock-Session": header},
        "content": {
            PROBLEM_TYPE: {"schema": {"type": "object"}},
            REQUEST_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    }


on_application.append(document)
