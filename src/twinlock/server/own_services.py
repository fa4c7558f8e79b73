"""What an agent asks a server for, answered by a vault in the same process."""

from __future__ import annotations

from dataclasses import dataclass

from twinlock.core.hardening.offer import HardeningOffer
from twinlock.server.vault import Vault


@dataclass(frozen=True, slots=True)
class VaultHardening:
    """A ``HardeningService`` for one account and source, without a network between."""

    vault: Vault
    account: bytes
    source: str = "here"

    def offer(self) -> HardeningOffer:
        """See ``server.hardening.Hardening.offer``."""
        return self.vault.hardening.offer(self.account)

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """See ``server.hardening.Hardening.evaluate``."""
        return self.vault.hardening.evaluate(
            kid, first, second, account=self.account, source=self.source
        )
