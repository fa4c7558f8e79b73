"""Calls of the vault from the event loop, and no more of them than can be served soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from twinlock.errors import CallerError, DataError, EnvError
from twinlock.integrations.asgi.asks import Item, Terms
from twinlock.integrations.rows import LegacyBatch
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.opened import Opened
from twinlock.server.requests import Request
from twinlock.server.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING: Final = 256
"""Calls that run or wait for one of the token's sessions; more are answered 503 at once."""


class VaultCalls:
    """The vault's part in the HTTP flow, in ``AsyncVault``'s executor."""

    def __init__(self, vault: Vault | AsyncVault, limit: int = MAX_WAITING) -> None:
        self._vault = AsyncVault(vault) if isinstance(vault, Vault) else vault
        self.vault = self._vault.vault
        self._limit = limit
        self._waiting = 0
        self._lock = threading.Lock()

    async def request(self, items: Iterable[Item], terms: Terms) -> Request:
        """Ask for records. Raises like ``Vault.request``, and EnvError ``http.busy``."""
        with self._place():
            groups = None
            if terms.groups is not None:
                groups = [await self._vault.group(name) for name in terms.groups]
            return await self._vault.request(items, purpose=terms.purpose, groups=groups)

    async def bind(self, request: Request, hello: bytes) -> bytes:
        """Bind a request. Raises like ``Request.bind``, and EnvError ``http.busy``."""
        with self._place():
            return await self._vault.bind(request, hello)

    async def open(self, request: Request, release: bytes) -> list[Opened]:
        """Open a request. Raises like ``Vault.open``; what cannot be read is
        DataError ``release.malformed``.
        """
        with self._place():
            try:
                return await self._vault.open(request, release)
            except DataError as error:
                if error.code.startswith("format."):
                    raise malformed_release() from error
                raise

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run any call that uses the vault. Raises what it raises, and EnvError ``http.busy``."""
        with self._place():
            return await self._vault.run(call, *args, **kwargs)

    async def open_legacy(self, batch: LegacyBatch) -> None:
        """Open what rows of adopted tables hold under an old key. Raises EnvError."""
        with self._place():
            try:
                batch.take(await self._vault.open_legacy(batch.items))
            except CallerError as error:
                batch.refuse(error)

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._lock:
            if self._waiting >= self._limit:
                raise EnvError(
                    "http.busy",
                    "Too many calls wait for the token.",
                    hint="Repeat the request in a moment.",
                    retryable=True,
                )
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1


def malformed_release() -> DataError:
    """Return the error for a release that cannot be read."""
    return DataError(
        "release.malformed",
        "This is not a release.",
        hint="Send the bytes that Agent.release() returned.",
    )
