"""Encrypted session keys that were used: none opens anything a second time.

A member's signature shows who sends a release, not who made the keys in it. Without this, a member
could sign the keys of another's release, which stand in the audit log, as an answer to a request of
his own, and so open alone what needs two groups. The block cannot be made anew from itself:
RSA-OAEP is not malleable, and every agent draws a fresh key for every release.
"""

from __future__ import annotations

import threading
from typing import Final

from twinlock.core.primitives import sha256
from twinlock.errors import DataError

_KEPT: Final = 4
"""Transport keys to remember: one is current and one may still be retiring."""


class SeenBlocks:
    """The session keys sent to each transport key. Both live in this process, and die with it."""

    def __init__(self) -> None:
        self._seen: dict[bytes, set[bytes]] = {}
        self._lock = threading.Lock()

    def take(self, transport_kid: bytes, block: bytes) -> None:
        """Use an encrypted session key once. Raises DataError ``release.key-reused``."""
        digest = sha256(block)
        with self._lock:
            seen = self._seen.setdefault(transport_kid, set())
            if digest in seen:
                raise DataError(
                    "release.key-reused",
                    "The keys in this release were sent in another release before.",
                    hint="Look at who signed both: somebody copied another member's release.",
                )
            seen.add(digest)
            while len(self._seen) > _KEPT:
                del self._seen[next(iter(self._seen))]
