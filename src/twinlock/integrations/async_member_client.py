"""Members' agents in programs that await: the member routes, reached from threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import httpx

from twinlock.agent.agent import Agent
from twinlock.core.deployment import DeploymentCard
from twinlock.core.factors import Factor
from twinlock.core.ports import Clock
from twinlock.core.secret import Secret
from twinlock.integrations.member_client import (
    Arrived,
    MemberService,
    arrive_online,
    follow_online,
)


class AsyncMemberService:
    """``MemberService`` for programs that await, in threads; ``sync`` is for factors to use."""

    def __init__(self, url: str, account: str, *, client: httpx.Client | None = None) -> None:
        self.sync = MemberService(url, account, client=client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await anyio.to_thread.run_sync(self.sync.close)

    async def arrive(
        self,
        factors: Sequence[Factor],
        *,
        deployment: DeploymentCard,
        clock: Clock = lambda: int(time.time()),
    ) -> Arrived:
        """See ``arrive_online``."""
        return await anyio.to_thread.run_sync(
            lambda: arrive_online(self.sync, factors, deployment=deployment, clock=clock)
        )

    async def follow(self, agent: Agent) -> None:
        """See ``follow_online``."""
        await anyio.to_thread.run_sync(follow_online, self.sync, agent)

    async def change(self, change: bytes) -> None:
        """See ``MemberService.change``."""
        await anyio.to_thread.run_sync(self.sync.change, change)

    async def log_in(self, secret: Secret) -> dict[str, Any]:
        """See ``MemberService.log_in``."""
        return await anyio.to_thread.run_sync(self.sync.log_in, secret)
