"""Shamir's secret sharing over GF(2^128), by pycryptodome (Shamir, CACM 22(11), 1979).

The field is GF(2)[x] / (x^128 + x^7 + x^2 + x + 1); 16 bytes are its polynomial, highest power
first, and a contact's index is the polynomial of that number. pycryptodome draws the coefficients
from the operating system, and does not compute in constant time (docs/limitations.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from Crypto.Protocol import SecretSharing

from twinlock.core.secret import Secret


class Shamir:
    """Splits and combines; see ``core.contacts.sharing.SecretSharing``."""

    def split(self, secret: Secret, needed: int, count: int) -> dict[int, Secret]:
        """See ``SecretSharing``."""
        shares = SecretSharing.Shamir.split(needed, count, secret.reveal(), ssss=False)
        return {index: Secret(share) for index, share in shares}

    def combine(self, shares: Mapping[int, Secret]) -> Secret:
        """See ``SecretSharing``."""
        rows = [(index, share.reveal()) for index, share in sorted(shares.items())]
        return Secret(SecretSharing.Shamir.combine(rows, ssss=False))
