"""A whole deployment in memory: token, store, vault, groups, and members with agents."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from twinlock.agent.agent import AsksMembers, Release
from twinlock.core.membership import Policy
from twinlock.core.ports import Clock, OuterSuite, Randomness
from twinlock.core.primitives import Kem, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server.config import SUITE_NAMES, Config
from twinlock.server.groups import Group
from twinlock.server.pins import MemoryPins
from twinlock.server.setup import found_deployment
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore
from twinlock.testing.founding import Founding
from twinlock.testing.guard import refuse_production
from twinlock.testing.member import Answer, MemoryMember
from twinlock.testing.memory_token import MemoryToken

GROUPS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "cardiology": ("weber", "kim"),
        "emergency": ("weber",),
        "data-office": ("officer",),
    }
)
"""The groups of a deployment and their members; the first of each founds it as its admin."""

_WRITER: Final = "application"


@dataclass(frozen=True, slots=True)
class MemoryDeployment:
    """What ``memory_vault`` makes. Use it as a context manager, or close it.

    ``token`` is the connection that founded the deployment; the vault has one of its own.
    ``founding`` makes further members and groups.
    """

    config: Config
    vault: Vault
    token: MemoryToken
    groups: Mapping[str, Group]
    members: Mapping[str, MemoryMember]
    founding: Founding
    _answering: list[Answer]
    _ending: ExitStack

    def member(self, name: str) -> MemoryMember:
        """Return a member by name. Raises CallerError ``testing.no-member``."""
        if name not in self.members:
            raise CallerError(
                "testing.no-member",
                f"This deployment has no member {name!r}.",
                hint="Name the member in the groups that memory_vault() is given.",
            )
        return self.members[name]

    @property
    def weber(self) -> MemoryMember:
        """The member of this name: in cardiology and emergency, and their admin."""
        return self.member("weber")

    @property
    def kim(self) -> MemoryMember:
        """The member of this name: in cardiology."""
        return self.member("kim")

    @property
    def officer(self) -> MemoryMember:
        """The member of this name: alone in data-office, for AND locks."""
        return self.member("officer")

    def answer(self, request: bytes | AsksMembers) -> Release:
        """Release as the member whose ``releasing()`` block runs.

        Raises CallerError ``testing.nobody-releases`` outside of any, and like ``Agent.release``.
        """
        if not self._answering:
            raise CallerError(
                "testing.nobody-releases",
                "The application asks for a release, and no member answers in this test.",
                hint="Put the call into `with weber.releasing():`.",
            )
        return self._answering[-1](request)

    def close(self) -> None:
        """Lock the agents, close the vault, remove the members' files."""
        self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def memory_vault(
    config: Config | None = None,
    *,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    policy: Policy | None = None,
    kem: Kem = Kem.DHKEM_P256,
    clock: Clock = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
) -> MemoryDeployment:
    """Found a deployment in memory: a vault and members that are ready to release.

    ``config``: the application's, of which the suites, the writer's name and the number of
    sessions are taken. ``groups`` maps a group's name to its members, founder first. ``policy``
    is every group's. ``clock`` runs the vault and all agents.

    Raises CallerError ``testing.production`` under a production configuration.
    """
    refuse_production(config)
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(dir=_memory_folder())))
        token = MemoryToken(randomness=randomness)
        store = ending.enter_context(SqlStore.connect("sqlite://", create=True))
        founded = found_deployment(
            _draft(folder, config),
            store,
            token,
            suites=[token.rsa_oaep_suite, OuterSuite.TOKEN_AES],
            rsa_bits=2048,
            clock=clock,
            randomness=randomness,
        )
        writer = signing_key_from_seed(Secret(randomness(32)))
        vault = Vault(
            founded,
            store,
            token.reconnect,
            pins=MemoryPins(),
            writer=writer,
            clock=clock,
            randomness=randomness,
        )
        ending.callback(vault.close)
        founding = Founding(vault, folder, writer, kem, clock, randomness)
        answering: list[Answer] = []
        members = {}
        for name in dict.fromkeys(name for names in groups.values() for name in names):
            agent = ending.enter_context(founding.member(name))
            members[name] = MemoryMember(agent, answering)
        rules = policy or Policy(outer_suites=founded.accept)
        made = {
            name: founding.group(name, rules, [members[member].agent for member in names])
            for name, names in groups.items()
        }
        return MemoryDeployment(
            founded, vault, token, made, members, founding, answering, ending.pop_all()
        )


def _draft(folder: Path, like: Config | None) -> Config:
    draft = Config(
        folder=folder,
        deployment_id=b"",
        identity=b"",
        production=False,
        token_uri="",
        token_profile=None,
        token_reserved=None,
        pin_file=None,
        pin_env=None,
        sessions=8,
        store_url="sqlite://",
        seal_suite="rsa-oaep",
        accept=frozenset().union(*SUITE_NAMES.values()),
        writer_name=_WRITER,
        writer_key=folder / "writer.key",
        pins=folder / "pins",
    )
    if like is None:
        return draft
    return replace(
        draft,
        sessions=like.sessions,
        seal_suite=like.seal_suite,
        accept=like.accept,
        writer_name=like.writer_name,
    )


def _memory_folder() -> str | None:
    """Where files live in memory, on systems that have such a place: agents sync theirs."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of its own is made inside
    return str(shared) if os.access(shared, os.W_OK) else None
