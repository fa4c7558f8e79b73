"""What the server answers with for names and ways in that do not exist (SPEC 28).

Drawn from a secret of this deployment, so that one question always has one answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twinlock.core.enrolment import Enrolment, enrol
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.stretching import MIN_ITERATIONS, MIN_MEMORY_KIB, SALT_SIZE
from twinlock.core.ports import Randomness
from twinlock.core.primitives import Kem, hkdf_expand, hmac_sha256
from twinlock.core.scram import keys as scram_keys
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server.passkey_records import decoy_passkey
from twinlock.server.verifiers import decoy_salt
from twinlock.store.sql import SqlStore

_SECRET: Final = "decoy-secret"  # noqa: S105 - the name under which it is kept
_LABEL: Final = b"twinlock/v1/decoy"
KINDS: Final = frozenset(
    {"password", "passphrase", "scram", "device-key", "recovery-code", "passkey"}
)


class Decoys:
    """Enrolments that nothing opens. ``hardening_kid`` names the key that an account would get."""

    def __init__(
        self,
        deployment_id: bytes,
        store: SqlStore,
        hardening_kid: Callable[[bytes], bytes],
        rp_id: Callable[[], str],
    ) -> None:
        self._deployment_id = deployment_id
        self._store = store
        self._hardening_kid = hardening_kid
        self._rp_id = rp_id
        self._kept: bytes | None = None

    @property
    def secret(self) -> Secret:
        """The 32 bytes that what is said of strangers comes from; made at the first use."""
        if self._kept is None:
            found = self._store.meta.get(_SECRET)
            while found is None:
                try:
                    self._store.meta.set_once(_SECRET, os.urandom(32))
                except CallerError as error:
                    if error.code != "store.meta-exists":
                        raise
                found = self._store.meta.get(_SECRET)
            self._kept = found
        return Secret(self._kept)

    def enrolment(self, name: str, kinds: frozenset[str], member_id: bytes | None) -> Enrolment:
        """Return an enrolment of these factors for a name; ``member_id`` of one that exists.

        Raises CallerError ``enrolment.no-such-kind``.
        """
        if not kinds or not kinds <= KINDS:
            raise CallerError(
                "enrolment.no-such-kind",
                "Enrolments are not handed out by these factors.",
                hint=f"Ask with some of: {', '.join(sorted(KINDS))}.",
            )
        draw = self._stream(name, ",".join(sorted(kinds)))
        drawn_id = self._stream(name, "member")(16)
        factors = [_Drawn(kind, self._parameters(kind, name), draw) for kind in sorted(kinds)]
        return enrol(
            Secret(draw(32)),
            factors,
            deployment_id=self._deployment_id,
            member_id=drawn_id if member_id is None else member_id,
            kem=Kem.DHKEM_P256,
            randomness=draw,
            scram_alone=True,
        )

    def _parameters(self, kind: str, name: str) -> Callable[[Randomness], Parameters]:
        def parameters(draw: Randomness) -> Parameters:
            shapes: dict[str, Callable[[], list[Any]]] = {
                "password": lambda: [
                    self._hardening_kid(name.encode()),
                    draw(SALT_SIZE),
                    MIN_MEMORY_KIB,
                    MIN_ITERATIONS,
                    1,
                ],
                "passphrase": lambda: [draw(SALT_SIZE), MIN_MEMORY_KIB, MIN_ITERATIONS, 1],
                "scram": lambda: [decoy_salt(self.secret, name), scram_keys.MIN_ITERATIONS],
                "device-key": lambda: [draw(16)],
                "recovery-code": lambda: [draw(16)],
                # The id that a sign-in by passkey would be offered for this name (R-PASSKEY-9).
                "passkey": lambda: [
                    self._rp_id(),
                    decoy_passkey(self.secret, name)[0],
                    draw(32),
                ],
            }
            return shapes[kind]()

        return parameters

    def _stream(self, name: str, what: str) -> Randomness:
        key = hmac_sha256(self.secret.reveal(), _LABEL + f"/{what}/{name}".encode())
        taken = 0

        def draw(count: int) -> bytes:
            nonlocal taken
            taken += 1
            return hkdf_expand(key, b"%d" % taken, count)

        return draw


class _Drawn:
    """A factor that nobody has."""

    def __init__(
        self, kind: str, parameters: Callable[[Randomness], Parameters], draw: Randomness
    ) -> None:
        self._kind = kind
        self._parameters = parameters
        self._draw = draw

    @property
    def kind(self) -> str:
        return self._kind

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        return self._parameters(randomness)

    def output(self, parameters: Parameters, place: Place) -> Secret:  # noqa: ARG002
        return Secret(self._draw(32))
