"""SCRAM as a member uses it: one password signs in to a server and is a factor (SPEC 27)."""

from __future__ import annotations

import os
from typing import Protocol

from twinlock.core.enrolment import Enrolment
from twinlock.core.factors.scram import KIND, ScramFactor, take_scram_parameters
from twinlock.core.ports import Randomness
from twinlock.core.scram.exchange import ChannelBinding, begin
from twinlock.core.scram.keys import MIN_ITERATIONS
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.errors import CallerError


class ScramService(Protocol):
    """The server's side of one exchange."""

    def first(self, client_first: str) -> str:
        """Send the client-first-message, return the server's."""
        ...

    def final(self, client_final: str) -> str:
        """Send the client-final-message, return the server's. May raise ``scram.refused``."""
        ...


class Scram(ScramFactor):
    """The password of a SCRAM account.

    ``salt`` and ``iterations`` are those of the account's verifier, from outside the server or from
    ``meet``.
    """

    def __init__(
        self, text: str, *, salt: bytes | None = None, iterations: int = MIN_ITERATIONS
    ) -> None:
        super().__init__(lambda: text, salt=salt, iterations=iterations)

    def new_verifier(self, *, randomness: Randomness = os.urandom) -> ScramVerifier:
        """Make a verifier for a new account. An enrolment made afterwards goes with it.

        Raises ``factor.parameters`` or ``factor.passphrase-invalid``.
        """
        salt, iterations = self.choose(randomness)
        self._chosen = (salt, iterations)
        return ScramVerifier.of(self.keys(salt, iterations), salt, iterations)

    def meet(
        self,
        account: str,
        service: ScramService,
        *,
        binding: ChannelBinding | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        """Sign in for the first time, and keep the server's salt and count for an enrolment.

        They are accepted within a factor's limits only. Raises like ``sign_in``, and
        ``factor.parameters``.
        """
        start = begin(account, randomness, binding=binding)
        first = service.first(start.first)
        offer = start.read(first)
        salt, iterations = take_scram_parameters([offer.salt, offer.iterations])
        keys = self.keys(salt, iterations)
        proof = start.prove(first, keys, salt=salt, iterations=iterations)
        proof.accept(service.final(proof.final))
        self._chosen = (salt, iterations)

    def sign_in(
        self,
        account: str,
        enrolment: Enrolment,
        service: ScramService,
        *,
        binding: ChannelBinding | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        """Sign in with the salt and count that an enrolment pins; unlocking it costs nothing more.

        Raises ``scram.downgrade``, before anything is sent that depends on the password, where the
        server names others; ``scram.refused``, ``scram.server``, ``scram.message``,
        ``factor.parameters``, and CallerError ``factor.missing`` for an enrolment without it.
        """
        pinned = dict(enrolment.factors).get(KIND)
        if pinned is None:
            raise CallerError(
                "factor.missing",
                f"This enrolment opens with {' and '.join(enrolment.kinds)}, not with scram.",
                hint="Use another enrolment.",
            )
        salt, iterations = take_scram_parameters(pinned)
        start = begin(account, randomness, binding=binding)
        first = service.first(start.first)
        keys = self.keys(salt, iterations)
        proof = start.prove(first, keys, salt=salt, iterations=iterations)
        proof.accept(service.final(proof.final))
