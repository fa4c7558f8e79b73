"""``AsyncVault``: the same names, for applications that wait with ``await``.

PKCS#11 and the database run in an executor of their own, bounded by the token's sessions, so that
a busy token never blocks the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ParamSpec, Self, TypeVar

from twinlock.agent.agent import Release
from twinlock.core.context import Context
from twinlock.core.membership import GroupState, PinnedHead
from twinlock.core.proposal import Proposal
from twinlock.errors import DataError
from twinlock.server.asynchronous_parts import (
    AsyncHardening,
    AsyncMembers,
    AsyncVerifiers,
    awaited,
)
from twinlock.server.auditor import AuditReport
from twinlock.server.config import Config
from twinlock.server.groups import Group
from twinlock.server.legacy import LegacyRow, LegacySource
from twinlock.server.opened import Opened
from twinlock.server.records import Sealed, SealedRow, Stored
from twinlock.server.requests import Request
from twinlock.server.sealing import To
from twinlock.server.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")


class AsyncVault:
    """A ``Vault`` for asyncio. See ``Vault`` for what each method does and raises."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._executor = ThreadPoolExecutor(
            max_workers=vault.config.sessions, thread_name_prefix="twinlock"
        )

    @classmethod
    async def connect(cls, config: str | Path | Config) -> Self:
        """Connect by ``twinlock.toml``."""
        return cls(await asyncio.to_thread(Vault.connect, config))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the vault, after what runs has ended."""
        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(self._vault.close)

    @property
    def vault(self) -> Vault:
        """The vault itself; what it does may wait, so use it in a thread."""
        return self._vault

    @property
    def hardening(self) -> AsyncHardening:
        """The token's side of passwords."""
        return AsyncHardening(self._vault.hardening, self._executor)

    @property
    def members(self) -> AsyncMembers:
        """Members' ways in, as far as they are kept here."""
        return AsyncMembers(self._vault.members, self._executor)

    @property
    def verifiers(self) -> AsyncVerifiers:
        """SCRAM verifiers, locked by the token."""
        return AsyncVerifiers(self._vault.verifiers, self._executor)

    async def read_directory_again(self) -> None:
        """Have the directory read at its next use."""
        await self.run(self._vault.read_directory_again)

    async def group(self, name: str) -> Group:
        """Return a trusted group by name."""
        return await self.run(self._vault.group, name)

    async def group_state(self, group: Group) -> GroupState:
        """Return a group's verified state."""
        return await self.run(self._vault.group_state, group)

    async def group_states(self) -> Mapping[bytes, GroupState]:
        """Return all trusted groups' verified states, by id."""
        return await self.run(self._vault.group_states)

    async def trust_group(self, pin: PinnedHead) -> GroupState:
        """Begin to trust a group that others founded."""
        return await self.run(self._vault.trust_group, pin)

    async def append(self, proposal: bytes | Proposal) -> GroupState:
        """Verify, countersign and append a member's proposal."""
        return await self.run(self._vault.append, proposal)

    async def group_bundle(self, hello: bytes) -> bytes:
        """Return what the agent that said ``hello`` needs to follow its groups."""
        return await self.run(self._vault.group_bundle, hello)

    async def seal(
        self, value: str | bytes, *, to: To, context: Context, suite: str | None = None
    ) -> Sealed:
        """Seal one value."""
        return await self.run(self._vault.seal, value, to=to, context=context, suite=suite)

    async def seal_row(
        self,
        values: Mapping[str, str | bytes],
        *,
        to: To,
        context: Context,
        suite: str | None = None,
    ) -> SealedRow:
        """Seal several columns of a row under one DEK."""
        return await self.run(self._vault.seal_row, values, to=to, context=context, suite=suite)

    async def seal_rows(
        self,
        rows: Iterable[tuple[Context, Mapping[str, str | bytes]]],
        count: int,
        *,
        to: To,
        suite: str | None = None,
    ) -> list[SealedRow]:
        """Seal at most ``count`` rows; here all of them before it returns."""
        return await self.run(lambda: list(self._vault.seal_rows(rows, count, to=to, suite=suite)))

    async def seal_file(
        self,
        source: BinaryIO | Iterable[bytes],
        destination: str | Path,
        *,
        to: To,
        context: Context,
        suite: str | None = None,
    ) -> None:
        """Seal a stream into a file."""
        await self.run(
            self._vault.seal_file, source, destination, to=to, context=context, suite=suite
        )

    async def request(
        self,
        items: Iterable[tuple[Context, Stored]],
        *,
        purpose: str = "",
        groups: Iterable[Group] | None = None,
    ) -> Request:
        """Ask for records."""
        return await self.run(self._vault.request, items, purpose=purpose, groups=groups)

    async def bind(self, request: Request, hello: bytes) -> bytes:
        """Bind a request to an agent: ``Request.bind`` signs in the token, so it waits."""
        return await self.run(request.bind, hello)

    async def assist(self, request: Request, hello: bytes, bundle: bytes) -> bytes:
        """Return what another member's agent needs to help with an AND lock of ``bundle``."""
        return await self.run(request.assist, hello, bundle)

    async def open(self, request: Request, release: Release | bytes) -> list[Opened]:
        """Open a request's records."""
        return await self.run(self._vault.open, request, release)

    async def open_file(
        self, request: Request, release: Release | bytes, destination: str | Path
    ) -> None:
        """Open a request's one sealed file to a path."""
        await self.run(self._vault.open_file, request, release, destination)

    async def use_legacy(self, source: LegacySource) -> None:
        """Say which old data this deployment adopts."""
        await self.run(self._vault.use_legacy, source)

    async def require_legacy(self, table: str, columns: Iterable[str]) -> None:
        """Raise unless legacy rows of all these columns may be read now."""
        await self.run(self._vault.require_legacy, table, columns)

    async def open_legacy(self, items: Iterable[tuple[Context, LegacyRow]]) -> list[Opened]:
        """Open rows with the old key and no member."""
        return await self.run(self._vault.open_legacy, items)

    async def rewrap(
        self,
        items: Iterable[tuple[Context, LegacyRow, To]],
        *,
        suite: str | None = None,
        check: bool = True,
    ) -> list[bytes | DataError]:
        """Take rows from their old lock to new ones."""
        return await self.run(self._vault.rewrap, items, suite=suite, check=check)

    async def verify_audit(self, *, on_line: Callable[[int], None] | None = None) -> AuditReport:
        """Verify the whole audit chain; ``on_line`` is called in the executor's thread."""
        return await self.run(self._vault.verify_audit, on_line=on_line)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that uses the vault where its other calls run, in line with them."""
        return await awaited(self._executor, call, *args, **kwargs)
