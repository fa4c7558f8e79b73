"""Members' agents in the server, for a plain login form (SPEC 32). Off unless it was turned on.

Whoever takes over such a server gets everything that the members who log in meanwhile may open, and
goes on having it until they revoke. Nothing of the others. That is why the configuration and the
policy of each group have to allow it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import Final

from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.factors import Password
from twinlock.agent.renewal import renew
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import AgentPlacement
from twinlock.core.ports import Clock, Randomness
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server.own_services import VaultHardening
from twinlock.server.setup import deployment_card
from twinlock.server.vault import Vault

LOGIN_LIFE: Final = 8 * 3600
IDLE_LIFE: Final = 15 * 60
LOOK_EVERY: Final = 60
"""Seconds between looks for logins that have ended by themselves."""
MAX_AGENTS: Final = 10_000


@dataclass(slots=True)
class _Login:
    agent: Agent
    begun: int
    used: int


class ServerAgents:
    """Unlocks members' agents inside this process. Safe for many threads.

    Raises CallerError ``agent.in-server-off`` unless ``[agent] in-server = true``. A login's agent
    is locked ``idle_life`` seconds after its last use, and ``login_life`` after it began, at most
    a minute late: a thread looks, while there are logins.
    Unlocking takes an Argon2id of 64 MiB: keep it off an event loop.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        idle_life: int = IDLE_LIFE,
        login_life: int = LOGIN_LIFE,
        clock: Clock | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        if not vault.config.agent_in_server:
            raise CallerError(
                "agent.in-server-off",
                "This deployment does not run members' agents in the server.",
                hint="Let members use the browser's agent; or see docs/server-agent.md first.",
            )
        self._vault = vault
        self._idle_life = idle_life
        self._login_life = login_life
        self._clock = clock or vault.clock
        self._randomness = randomness
        self._logins: dict[bytes, _Login] = {}
        self._lock = threading.Lock()
        self._timer: Timer | None = None

    def password(self, name: str, text: str, *, source: str) -> Password:
        """Return the factor of a password that was typed into a form.

        ``source`` is where it came from, such as a network address: attempts are counted.
        """
        return Password(
            text,
            deployment=deployment_card(self._vault.config),
            service=VaultHardening(self._vault, name.encode(), source),
            clock=self._clock,
            randomness=self._randomness,
        )

    @contextmanager
    def once(self, name: str, factors: Sequence[EnrollableFactor]) -> Iterator[Agent]:
        """Unlock a member's agent for one request; it is locked when the block ends.

        Raises ``factor.*``, ``hardening.*``, ``enrolment.*`` or ``member.keys-retired``.
        """
        agent = self._unlock(name, factors)
        try:
            yield agent
        finally:
            agent.lock()

    def begin(self, name: str, factors: Sequence[EnrollableFactor]) -> Secret:
        """Unlock a member's agent for one login, and return the 32 bytes that name it.

        They belong into the application's own session, which nobody else reads. Raises like
        ``once``, and CallerError ``agent.in-server-full``.
        """
        now = self._clock()
        self._end_old(now)
        if len(self._logins) >= MAX_AGENTS:
            raise CallerError(
                "agent.in-server-full",
                "There are too many members' agents in this server.",
                hint="Try again when others have logged out.",
            )
        agent, handle = self._unlock(name, factors), self._randomness(32)
        with self._lock:
            self._logins[handle] = _Login(agent, now, now)
            if self._timer is None:
                self._look_later()
        return Secret(handle)

    def agent(self, login: Secret) -> Agent:
        """Return a login's agent. Raises CallerError ``agent.locked`` once it ended."""
        now = self._clock()
        self._end_old(now)
        with self._lock:
            found = self._logins.get(login.reveal())
            if found is None:
                raise CallerError(
                    "agent.locked", "This login has ended.", hint="Log in again to go on."
                )
            found.used = now
        return found.agent

    def end(self, login: Secret) -> None:
        """Log out: lock the agent and forget it. Nothing happens if it ended already."""
        with self._lock:
            found = self._logins.pop(login.reveal(), None)
        if found is not None:
            found.agent.lock()

    def close(self) -> None:
        """Lock all agents."""
        with self._lock:
            ended, self._logins = list(self._logins.values()), {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for login in ended:
            login.agent.lock()

    def _unlock(self, name: str, factors: Sequence[EnrollableFactor]) -> Agent:
        members = self._vault.members
        arrival = Arrival.begin(
            members.bundle(name, {factor.kind for factor in factors}),
            factors,
            deployment=deployment_card(self._vault.config),
            clock=self._clock,
        )
        agent = arrival.agent(
            members.full_bundle(arrival.ask()),
            placement=AgentPlacement.SERVER,
            randomness=self._randomness,
        )
        agent.follow(self._vault.group_bundle(agent.hello()))
        renew(agent, factors, send=self._accept)
        return agent

    def _accept(self, change: bytes) -> None:
        self._vault.members.accept(change)

    def _look_later(self) -> None:
        self._timer = Timer(LOOK_EVERY, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        """End what has ended while nobody called: until then its keys would be in memory."""
        self._end_old(self._clock())
        with self._lock:
            self._timer = None
            if self._logins:
                self._look_later()

    def _end_old(self, now: int) -> None:
        with self._lock:
            ended = [
                handle
                for handle, login in self._logins.items()
                if now - login.used > self._idle_life or now - login.begun > self._login_life
            ]
            gone = [self._logins.pop(handle) for handle in ended]
        for login in gone:
            login.agent.lock()
