"""What the vault seals with: its writer, the current wrapping keys, the groups' current epochs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twinlock.core.locks import AllTarget, GroupTarget, Target
from twinlock.core.membership import GroupState
from twinlock.core.ports import KeyRole, OuterSuite, Randomness, Token, TokenKey
from twinlock.core.primitives import SigningKey
from twinlock.core.sealing import Sealer
from twinlock.core.statements import Directory
from twinlock.errors import CallerError
from twinlock.server.config import SUITE_NAMES, Config
from twinlock.server.groups import Group
from twinlock.store.sql import SqlStore

AES_SEAL_LIMIT: Final = 2**32
"""Seals under one AES wrapping key with random nonces (NIST SP 800-38D section 8.3)."""

SEAL_BLOCK: Final = 256
"""Seals reserved ahead in one write; a process that ends loses what is left of its block."""


class AllOf:
    """Several groups of which every one is needed: an AND lock."""

    def __init__(self, *groups: Group) -> None:
        self.groups = groups


To = Group | AllOf | Sequence[Group | AllOf]
"""Each entry is one way in (OR)."""


class Sealing:
    """Chooses writer, wrapping key and targets, and refuses what nobody could open or trust."""

    def __init__(
        self,
        config: Config,
        store: SqlStore,
        writer: SigningKey | None,
        token: Callable[[], Token],
        directory: Callable[[], Directory],
        randomness: Randomness,
    ) -> None:
        self._config = config
        self._store = store
        self._writer = writer
        self._token = token
        self._directory = directory
        self._randomness = randomness
        self._wrapping: tuple[Directory | None, dict[str, TokenKey]] = (None, {})
        self._reserved: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def sealer(self, suite: str | None, seals: int | None = None) -> Sealer:
        """Return what seals under the current wrapping key of a suite.

        ``seals`` announces how many are to come, so that sealing writes nothing to the store; by
        default each call counts for one. Raises ``writer.missing``, ``suite.*`` or
        ``token.key-exhausted``.
        """
        writer, wrapping = self._require_writer(), self._wrapping_key(suite)
        if wrapping.suite is not OuterSuite.TOKEN_AES:
            return Sealer(writer, wrapping, self._randomness)
        if seals is None:
            self._count_one(wrapping.kid)
        else:
            self._reserve(wrapping.kid, seals)
        return Sealer(writer, wrapping, self._randomness, self._token())

    def targets(
        self, to: To, suite: str | None, states: Mapping[bytes, GroupState]
    ) -> list[Target]:
        """Return the locks to make. Raises ``group.unknown``, ``writer.*`` or ``suite.*``."""
        outer = self._wrapping_key(suite).suite
        entries = [to] if isinstance(to, Group | AllOf) else to
        return [self._target(entry, states, outer) for entry in entries]

    def _require_writer(self) -> SigningKey:
        if self._writer is None:
            raise CallerError(
                "writer.missing",
                "This vault has no writer key, so it can only open.",
                hint="See [writer] key in the configuration.",
            )
        return self._writer

    def _count_one(self, kid: bytes) -> None:
        with self._lock:
            left = self._reserved.get(kid, 0)
            if left == 0:
                self._reserve(kid, SEAL_BLOCK)
                left = SEAL_BLOCK
            self._reserved[kid] = left - 1

    def _reserve(self, kid: bytes, seals: int) -> None:
        self._store.counters.add(f"seals/{kid.hex()}", seals, AES_SEAL_LIMIT)

    def _wrapping_key(self, name: str | None) -> TokenKey:
        chosen, directory = name or self._config.seal_suite, self._directory()
        # One object for both, since other threads may seal while the directory is read again.
        read_from, known = self._wrapping
        if read_from is not directory:
            known = {}
            self._wrapping = (directory, known)
        found = known.get(chosen)
        if found is None:
            found = directory.current(KeyRole.WRAPPING, self._suite(chosen, directory))
            known[chosen] = found
        return found

    def _suite(self, name: str, directory: Directory) -> OuterSuite:
        wanted = SUITE_NAMES.get(name)
        if wanted is None:
            raise CallerError(
                "suite.unknown-name",
                f"There is no suite {name!r}.",
                hint=f"There are {', '.join(SUITE_NAMES)}.",
            )
        entries = directory.entries
        stated = {entry.key.suite for entry in entries if entry.key.role is KeyRole.WRAPPING}
        for suite in sorted(wanted & self._config.accept, reverse=True):
            if suite in stated:
                return suite
        raise CallerError(
            "suite.no-key",
            "The token directory states no wrapping key for this suite, or it is not accepted.",
            hint="See `twinlock token list`, and [suites] accept in the configuration.",
        )

    def _target(
        self, entry: Group | AllOf, states: Mapping[bytes, GroupState], outer: OuterSuite | None
    ) -> Target:
        if isinstance(entry, AllOf):
            return AllTarget(tuple(self._group(group, states, outer) for group in entry.groups))
        return self._group(entry, states, outer)

    def _group(
        self, group: Group, states: Mapping[bytes, GroupState], outer: OuterSuite | None
    ) -> GroupTarget:
        state = states.get(group.group_id)
        if state is None:
            raise CallerError(
                "group.unknown",
                f"This server does not trust group {group.name!r}.",
                hint="See `twinlock group list`; trust one with `twinlock group trust`.",
            )
        if self._require_writer().kid not in state.writers:
            raise CallerError(
                "writer.not-named",
                f"Group {state.name} does not name this application as a writer.",
                hint="An admin has to run `twinlock group set-writers`.",
            )
        if outer not in state.policy.outer_suites:
            raise CallerError(
                "suite.group-refuses",
                f"Group {state.name} does not accept records of this suite.",
                hint="Seal with another suite, or have its admins change the policy.",
            )
        epoch = state.current_epoch
        return GroupTarget(state.group_id, epoch.number, epoch.kem, epoch.public)


def content_bytes(value: str | bytes) -> bytes:
    """Return what is sealed of a value: text as UTF-8. Raises CallerError ``seal.type``."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise CallerError(
        "seal.type", "A value to seal is text or bytes.", hint="Encode it, for example as JSON."
    )
