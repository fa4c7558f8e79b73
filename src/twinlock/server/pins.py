"""The server's pins: which groups it trusts and how far it has followed each, outside the database.

A group that is not pinned here does not exist for this server: whoever can write the database or
use the token can found groups, but not make the server accept their writers.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final, Protocol

from twinlock.core import cbor
from twinlock.core.membership import PinnedHead
from twinlock.files import locked, read_private, write_private

_PINS: Final = "twinlock/v1/pins"
_MAX_SIZE: Final = 16 << 20


class Pins(Protocol):
    """Remembers heads."""

    def all(self) -> dict[bytes, PinnedHead]:
        """Return the pinned heads by group."""
        ...

    def advance(self, pin: PinnedHead) -> None:
        """Pin a verified head, unless a newer one is pinned already."""
        ...


class MemoryPins:
    """Pins for tests and for a laptop without files."""

    def __init__(self) -> None:
        self._pins: dict[bytes, PinnedHead] = {}
        self._lock = threading.Lock()

    def all(self) -> dict[bytes, PinnedHead]:
        """Return the pinned heads by group."""
        with self._lock:
            return dict(self._pins)

    def advance(self, pin: PinnedHead) -> None:
        """Pin a verified head, unless a newer one is pinned already."""
        with self._lock:
            _advance(self._pins, pin)


class FilePins:
    """Pins in one file that is replaced whole; several processes take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[bytes, PinnedHead]:
        """Return the pinned heads by group. Raises ``file.*`` or ``format.*``."""
        if not self._path.exists():
            return {}
        raw = read_private(self._path, max_size=_MAX_SIZE)
        _, rows = cbor.decode_labelled(raw, _PINS, 2, max_size=_MAX_SIZE)
        pins = (
            PinnedHead(cbor.take_bytes(g, 32), cbor.take_uint(seq), cbor.take_bytes(head, 32))
            for g, seq, head in (cbor.take_list(row, 3, 3) for row in cbor.take_list(rows))
        )
        return {pin.group_id: pin for pin in pins}

    def advance(self, pin: PinnedHead) -> None:
        """Pin a verified head, unless a newer one is pinned already."""
        with locked(self._path):
            pins = self.all()
            if _advance(pins, pin):
                rows = [[p.group_id, p.seq, p.head] for p in pins.values()]
                write_private(self._path, cbor.encode([_PINS, rows]))


def _advance(pins: dict[bytes, PinnedHead], pin: PinnedHead) -> bool:
    known = pins.get(pin.group_id)
    if known is not None and known.seq >= pin.seq:
        return False
    pins[pin.group_id] = pin
    return True
