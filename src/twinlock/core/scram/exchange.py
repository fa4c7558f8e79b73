"""The client's side of one exchange (RFC 5802 section 5), with salt and count pinned beforehand.

Nothing that depends on the password is sent to a server that names another salt or iteration count
than the pinned ones: a lower count would make the proof cheaper to guess at.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Final

from twinlock.core.ports import Randomness
from twinlock.core.primitives import equal, hmac_sha256
from twinlock.core.scram.keys import ScramKeys
from twinlock.core.scram.saslprep import saslprep
from twinlock.errors import CallerError, DataError

BINDING_TYPES: Final = ("tls-server-end-point",)
_NONCE_SIZE: Final = 18
_SERVER_FIRST: Final = re.compile(
    r"r=([\x21-\x2b\x2d-\x7e]{1,512}),s=([A-Za-z0-9+/]{1,128}={0,2}),i=([1-9][0-9]{0,9})", re.ASCII
)
_SERVER_FINAL: Final = re.compile(r"v=([A-Za-z0-9+/]{43}=)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """What both ends know of the TLS connection (RFC 5929): ``tls-server-end-point`` and its data.

    Raises CallerError ``scram.binding`` for another type, or without data.
    """

    kind: str
    data: bytes

    def __post_init__(self) -> None:
        if self.kind not in BINDING_TYPES or not self.data:
            raise CallerError(
                "scram.binding",
                f"This is no channel binding that is known here: {self.kind[:40]!r}.",
                hint="Give tls-server-end-point and the hash of the server's certificate.",
            )


@dataclass(frozen=True, slots=True)
class ScramOffer:
    """What a server says first: its nonce, salt and iteration count. Nothing of it is trusted."""

    nonce: str
    salt: bytes
    iterations: int


@dataclass(frozen=True, slots=True)
class ScramStart:
    """An exchange under way; ``first`` is the client-first-message."""

    header: str
    bare: str
    nonce: str
    binding: bytes

    @property
    def first(self) -> str:
        """The client-first-message."""
        return self.header + self.bare

    def read(self, server_first: str) -> ScramOffer:
        """Read the server-first-message. Raises DataError ``scram.message``."""
        found = _SERVER_FIRST.fullmatch(server_first)
        if found is None or not _longer(found[1], self.nonce):
            raise _malformed()
        try:
            salt = b64decode(found[2], validate=True)
        except ValueError as error:
            raise _malformed() from error
        return ScramOffer(found[1], salt, int(found[3]))

    def prove(
        self, server_first: str, keys: ScramKeys, *, salt: bytes, iterations: int
    ) -> ScramProof:
        """Answer the server-first-message, if it names the salt and count of ``keys``.

        Raises DataError ``scram.message`` or ``scram.downgrade``.
        """
        offer = self.read(server_first)
        if (offer.salt, offer.iterations) != (salt, iterations):
            raise DataError(
                "scram.downgrade",
                "The server names another salt or iteration count than this enrolment pins.",
                hint="Stop: nothing was sent that depends on the password. Ask the operator why.",
            )
        channel = b64encode(self.header.encode() + self.binding).decode()
        unproved = f"c={channel},r={offer.nonce}"
        signed = ",".join((self.bare, server_first, unproved)).encode()
        signature = hmac_sha256(keys.stored_key.reveal(), signed)
        proof = bytes(a ^ b for a, b in zip(keys.client_key.reveal(), signature, strict=True))
        return ScramProof(
            f"{unproved},p={b64encode(proof).decode()}",
            hmac_sha256(keys.server_key.reveal(), signed),
        )


@dataclass(frozen=True, slots=True)
class ScramProof:
    """The client-final-message, and what the server must answer to it."""

    final: str = field(repr=False)
    expected: bytes = field(repr=False)

    def accept(self, server_final: str) -> None:
        """Check that the server has the verifier.

        Raises CallerError ``scram.refused`` where it says no, DataError ``scram.server`` where it
        cannot show that it has it.
        """
        if server_final.startswith("e="):
            raise refused()
        found = _SERVER_FINAL.fullmatch(server_final)
        if found is None or not equal(b64decode(found[1]), self.expected):
            raise DataError(
                "scram.server",
                "The server did not show that it knows this account.",
                hint="Stop: this may be another server. Ask the operator.",
            )


def begin(
    account: str, randomness: Randomness, *, binding: ChannelBinding | None = None
) -> ScramStart:
    """Begin an exchange for an account's name, with channel binding where the caller has it.

    Raises CallerError ``factor.passphrase-invalid`` for a name that SASLprep refuses.
    """
    name = saslprep(account).replace("=", "=3D").replace(",", "=2C")
    nonce = b64encode(randomness(_NONCE_SIZE)).decode()
    header = "n,," if binding is None else f"p={binding.kind},,"
    return ScramStart(
        header, f"n={name},r={nonce}", nonce, b"" if binding is None else binding.data
    )


def refused() -> CallerError:
    """Return the one error of a login that failed, for whatever reason."""
    return CallerError(
        "scram.refused",
        "This name and this password do not belong together.",
        hint="Check both and try again.",
    )


def _longer(nonce: str, ours: str) -> bool:
    """Tell whether a nonce is the client's with something of the server's at its end."""
    return nonce.startswith(ours) and len(nonce) > len(ours)


def _malformed() -> DataError:
    return DataError(
        "scram.message",
        "The server's message is none of a SCRAM exchange that this agent began.",
        hint="Try again; ask the operator if it stays so.",
    )
