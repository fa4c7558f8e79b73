"""The server's side of SCRAM-SHA-256, with verifiers that only the token unlocks (SPEC 27).

A verifier lies in the application's database as ciphertext. The token unlocks it for one exchange;
while that runs, this process has StoredKey, and when it ends well, ClientKey passes through. Needs
the ``scram`` extra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from scramp import ScramException, ScramMechanism  # type: ignore[import-untyped]

from twinlock.core.primitives import hmac_sha256
from twinlock.core.scram.exchange import ChannelBinding, refused
from twinlock.core.scram.keys import MIN_ITERATIONS
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.server.vault import Vault
from twinlock.server.verifiers import VerifierLocks, decoy_salt

_DECOY: Final = b"twinlock/v1/scram-decoy"

Find = Callable[[str], bytes | None]
"""Finds the locked verifier of an account by its name after SASLprep; None for one that is not."""


@dataclass(frozen=True, slots=True)
class ScramSession:
    """One exchange under way. ``account`` is who it is for, if it ends well."""

    account: str
    server_first: str
    _server: Any = field(repr=False)

    def finish(self, client_final: str) -> str:
        """Check the proof and return the server-final-message: the account is signed in.

        Raises CallerError ``scram.refused``: then nothing else is to be sent.
        """
        try:
            self._server.set_client_final(client_final)
            return str(self._server.get_server_final())
        except ScramException as error:
            # Its frames hold StoredKey, and error reporters send local variables.
            raise refused() from error.with_traceback(None)


class ScramLogin:
    """The accounts of one vault. Safe for many threads.

    ``unknown`` is a random secret of 32 bytes that this application keeps: from it comes what
    accounts that do not exist answer with, always the same for one name. The application counts
    attempts, and keeps the sessions.
    """

    def __init__(self, locks: VerifierLocks, *, unknown: Secret) -> None:
        self._locks = locks
        self._unknown = unknown
        self._locked_decoy: bytes | None = None

    @classmethod
    def of(cls, vault: Vault, *, unknown: Secret) -> ScramLogin:
        """Return the SCRAM login that a vault's token keeps the verifiers of."""
        return cls(vault.verifiers, unknown=unknown)

    def lock(self, account: str, verifier: ScramVerifier | Secret) -> bytes:
        """Return a verifier as ciphertext, to be stored; see ``VerifierLocks.lock``."""
        return self._locks.lock(account, verifier)

    def begin(
        self, client_first: str, find: Find, *, binding: ChannelBinding | None = None
    ) -> ScramSession:
        """Answer a client-first-message: ``server_first`` of the result goes back.

        With ``binding`` the client must bind, too; without, it must not. Raises CallerError
        ``scram.refused`` for a message that is none or binds otherwise, ``data.not-authentic`` for
        a stored verifier that was changed or moved, and the token's errors.
        """
        asked: list[str] = []
        failed: list[TwinlockError] = []

        def keys_of(name: str) -> tuple[bytes, bytes, bytes, int] | None:
            asked.append(name)
            try:
                found = self._verifier(name, find(name))
            except TwinlockError as error:
                failed.append(error)
                return None
            stored, server = found.stored_key.reveal(), found.server_key.reveal()
            return found.salt, stored, server, found.iterations

        plus = "" if binding is None else "-PLUS"
        channel = None if binding is None else (binding.kind, binding.data)
        server = ScramMechanism(f"SCRAM-SHA-256{plus}").make_server(
            keys_of, channel_binding=channel
        )
        try:
            server.set_client_first(client_first)
            return ScramSession(asked[0], str(server.get_server_first()), server)
        except ScramException as error:
            # Its frames hold StoredKey, and error reporters send local variables.
            raise (failed[0] if failed else refused()) from error.with_traceback(None)

    def _verifier(self, account: str, locked: bytes | None) -> ScramVerifier:
        """Unlock an account's verifier; an account that does not exist costs the same call."""
        if locked is not None:
            return self._locks.unlock(account, locked)
        decoy = self._locked_decoy
        if decoy is None or not self._locks.is_present(decoy):
            decoy = self._locked_decoy = self.lock("", self._decoy(""))
        self._locks.unlock("", decoy)
        return self._decoy(account)

    def _decoy(self, account: str) -> ScramVerifier:
        """Return what no password opens, and what is always the same for one name."""

        def drawn(what: bytes) -> bytes:
            return hmac_sha256(self._unknown.reveal(), _DECOY + what + account.encode())

        salt = decoy_salt(self._unknown, account)
        stored, server = Secret(drawn(b"/stored/")), Secret(drawn(b"/server/"))
        return ScramVerifier(MIN_ITERATIONS, salt, stored, server)
