"""The parts of an ``AsyncVault``: the same names as the vault's own parts have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from twinlock.core.enrolment_list import EnrolmentList
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from twinlock.server.hardening import Hardening
from twinlock.server.members import Members
from twinlock.server.verifiers import VerifierLocks
from twinlock.store.values import StoredMember

P = ParamSpec("P")
T = TypeVar("T")


async def awaited(
    executor: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a call in an executor's thread."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(executor, lambda: call(*args, **kwargs))


class AsyncHardening:
    """``Hardening`` for asyncio. See there for what each method does and raises."""

    def __init__(self, hardening: Hardening, executor: ThreadPoolExecutor) -> None:
        self._hardening = hardening
        self._executor = executor

    async def offer(self, account: bytes) -> HardeningOffer:
        """Return the token directory and the hardening key for an account's next enrolment."""
        return await awaited(self._executor, self._hardening.offer, account)

    async def evaluate(
        self, kid: bytes, first: bytes, second: bytes, *, account: bytes, source: str
    ) -> tuple[bytes, bytes]:
        """Count one attempt, then multiply both points in the token."""
        evaluate = self._hardening.evaluate
        return await awaited(
            self._executor, evaluate, kid, first, second, account=account, source=source
        )


class AsyncMembers:
    """``Members`` for asyncio. See there for what each method does and raises."""

    def __init__(self, members: Members, executor: ThreadPoolExecutor) -> None:
        self._members = members
        self._executor = executor

    async def accept(self, change: bytes) -> EnrolmentList:
        """Take a member's new ways in, with the log entries that go with them."""
        return await awaited(self._executor, self._members.accept, change)

    async def bundle(
        self, name: str, kinds: Iterable[str], enrolment_id: bytes | None = None
    ) -> bytes:
        """Return one enrolment that opens with exactly these factors, for somebody to unlock."""
        return await awaited(self._executor, self._members.bundle, name, kinds, enrolment_id)

    async def full_bundle(self, request: bytes) -> bytes:
        """Return all of a member's enrolments and the signed list, for the member's request."""
        return await awaited(self._executor, self._members.full_bundle, request)

    async def asker(self, request: bytes) -> bytes:
        """Return the id of the member who signed an ``Agent.bundle_request`` just now."""
        return await awaited(self._executor, self._members.asker, request)

    async def everything(self, member_id: bytes) -> bytes:
        """Return the same to an operator who hands it to the member."""
        return await awaited(self._executor, self._members.everything, member_id)

    async def by_name(self, name: str) -> StoredMember | None:
        """Return the member of this name whose enrolments are kept here."""
        return await awaited(self._executor, self._members.by_name, name)

    async def is_present(self, member_id: bytes) -> bool:
        """Return whether a group that this server trusts has the member now."""
        return await awaited(self._executor, self._members.is_present, member_id)

    async def logins(self, name: str, kind: str) -> list[bytes]:
        """Return what a member's sign-ins of one kind are compared with."""
        return await awaited(self._executor, self._members.logins, name, kind)


class AsyncVerifiers:
    """``VerifierLocks`` for asyncio. See there for what each method does and raises."""

    def __init__(self, verifiers: VerifierLocks, executor: ThreadPoolExecutor) -> None:
        self._verifiers = verifiers
        self._executor = executor

    async def lock(self, account: str, verifier: ScramVerifier | Secret) -> bytes:
        """Return a verifier as ciphertext, to be stored for this account's name."""
        return await awaited(self._executor, self._verifiers.lock, account, verifier)

    async def is_present(self, locked: bytes) -> bool:
        """Return whether new verifiers are locked with the key that this one is."""
        return await awaited(self._executor, self._verifiers.is_present, locked)

    async def unlock(self, account: str, locked: bytes) -> ScramVerifier:
        """Unlock an account's verifier."""
        return await awaited(self._executor, self._verifiers.unlock, account, locked)
