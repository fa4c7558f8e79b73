"""What this process read and proved before: the same bytes are not verified a second time.

A page that is looked at again asks for the same records. Decoding them and checking their writers'
signatures is the dearest part of asking, and its result follows from bytes and key alone. Nothing
here is secret: ciphertexts only, and no decision about who may open them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twinlock.core.opening import PreparedRecord
from twinlock.core.primitives import sha256

MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Proved:
    """A record whose fields the writer signed; ``writer`` is the public key that says so."""

    prepared: PreparedRecord
    writer: bytes
    size: int


class ReadMemory:
    """The records that were proved last, in at most ``limit`` bytes of what is stored of them."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._proved: OrderedDict[bytes, Proved] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._proved)

    def recall(self, key: bytes) -> Proved | None:
        """Return what was proved of these very bytes, if it is still known."""
        with self._lock:
            found = self._proved.get(key)
            if found is not None:
                self._proved.move_to_end(key)
            return found

    def keep(self, key: bytes, proved: Proved) -> None:
        """Keep what was proved; the oldest make room. What is larger than all is not kept."""
        if proved.size > self._limit:
            return
        with self._lock:
            before = self._proved.pop(key, None)
            self._size += proved.size - (0 if before is None else before.size)
            self._proved[key] = proved
            while self._size > self._limit:
                _, gone = self._proved.popitem(last=False)
                self._size -= gone.size


def memory_key(parts: Iterable[bytes]) -> bytes:
    """Return the SHA-256 that stands for context and stored bytes, each with its length."""
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts))
