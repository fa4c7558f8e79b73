"""A vault of this process as the server of members' commands: for demos and small deployments.

Everything is then on one machine, which is what Twinlock is not for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.scram.exchange import refused
from twinlock.errors import CallerError
from twinlock.server.decoys import KINDS
from twinlock.server.own_services import VaultHardening
from twinlock.server.vault import Vault

if TYPE_CHECKING:
    from twinlock.server.scram import ScramSession

_SOURCE: Final = "this machine"
"""Where attempts come from, as limits count them."""


class VaultService:
    """One account's way to a vault without a network between (``cli.service.Service``)."""

    def __init__(self, vault: Vault, account: str) -> None:
        self._vault = vault
        self._account = account
        self._hardening = VaultHardening(vault, account.encode(), _SOURCE)
        self._exchange: ScramSession | None = None

    def offer(self) -> HardeningOffer:
        """See ``HardeningService``."""
        return self._hardening.offer()

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """See ``HardeningService``."""
        return self._hardening.evaluate(kid, first, second)

    def bundle(self, kinds: Iterable[str], enrolment_id: bytes | None = None) -> bytes:
        """See ``Service``; here an operator asks, so that factors without decoys work too."""
        wanted = frozenset(kinds)
        member = self._vault.members.by_name(self._account)
        if member is not None and not wanted <= KINDS:
            return self._vault.members.everything(member.member_id)
        return self._vault.members.bundle(self._account, wanted, enrolment_id)

    def full_bundle(self, request: bytes) -> bytes:
        """See ``Service``."""
        return self._vault.members.full_bundle(request)

    def groups(self, hello: bytes, request: bytes) -> bytes:  # noqa: ARG002
        """See ``Service``."""
        return self._vault.group_bundle(hello)

    def change(self, change: bytes) -> None:
        """See ``Service``."""
        self._vault.members.accept(change)

    def first(self, client_first: str) -> str:
        """See ``ScramService``. Raises CallerError ``cli.scram-not-installed`` too."""
        try:
            from twinlock.server.scram import ScramLogin
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("twinlock"):
                raise
            raise CallerError(
                "cli.scram-not-installed",
                f"To sign in by SCRAM here needs the package {error.name}.",
                hint="Install it with `pip install 'twinlock[scram,cli]'`.",
            ) from error
        login = ScramLogin.of(self._vault, unknown=self._vault.stranger_secret)
        self._exchange = login.begin(client_first, self._verifier)
        return self._exchange.server_first

    def final(self, client_final: str) -> str:
        """See ``ScramService``."""
        if self._exchange is None:
            raise refused()
        return self._exchange.finish(client_final)

    def _verifier(self, account: str) -> bytes | None:
        return next(iter(self._vault.members.logins(account, "scram")), None)
