"""The deployment's card: what its first members pin, handed over outside the server.

The text form is ``twinlock-deployment1:`` and hexadecimal of deployment id, identity fingerprint
and a checksum. It holds no secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core.primitives import sha256
from twinlock.errors import DataError

PREFIX: Final = "twinlock-deployment1:"
_CHECK_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class DeploymentCard:
    """Deployment id (16 bytes) and the fingerprint of its token's identity key (32 bytes)."""

    deployment_id: bytes
    identity_fingerprint: bytes

    def to_text(self) -> str:
        """Return the text to hand over."""
        raw = self.deployment_id + self.identity_fingerprint
        return PREFIX + (raw + sha256(raw)[:_CHECK_SIZE]).hex()


def parse_deployment_card(text: str) -> DeploymentCard:
    """Read the text form; white space is ignored. Raises ``deployment.card-malformed``."""
    compact = "".join(text.split()).lower()
    try:
        raw = bytes.fromhex(compact.removeprefix(PREFIX))
    except ValueError:
        raw = b""
    body, check = raw[:48], raw[48:]
    complete = len(raw) == 48 + _CHECK_SIZE and check == sha256(body)[:_CHECK_SIZE]
    if not compact.startswith(PREFIX) or not complete:
        raise DataError(
            "deployment.card-malformed",
            "This is not a complete deployment card.",
            hint="Copy it again from the first letter to the last.",
        )
    return DeploymentCard(body[:16], body[16:])
