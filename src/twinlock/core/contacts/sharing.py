"""What secret sharing has to do; ``twinlock.sharing`` does it (SPEC 31)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from twinlock.core.secret import Secret

SECRET_SIZE: Final = 16
MIN_NEEDED: Final = 2
MAX_CONTACTS: Final = 10


class SecretSharing(Protocol):
    """Shamir's k of n over GF(2^128) (Shamir 1979)."""

    def split(self, secret: Secret, needed: int, count: int) -> dict[int, Secret]:
        """Split 16 bytes into ``count`` shares of 16 bytes, by index from 1.

        Any ``needed`` of them give the secret back, fewer say nothing about it.
        """
        ...

    def combine(self, shares: Mapping[int, Secret]) -> Secret:
        """Return the secret of exactly as many shares as are needed.

        With a wrong share or another number it returns other 16 bytes: only what they open says
        whether they were right.
        """
        ...
