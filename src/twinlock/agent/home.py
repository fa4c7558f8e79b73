"""Where an agent's state lies: a file of its own, or memory alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from twinlock.agent.factors import DeviceKey
from twinlock.agent.state import LockedState, MemberState, decode_locked, load_state, save_state
from twinlock.core.enrolment import MemberKeys
from twinlock.core.factors import Factor
from twinlock.files import locked, read_private, write_private

_MAX_CHANGE: int = 64 << 20


class StateHome(Protocol):
    """Keeps one member's state between and during runs."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other runs of this agent out while the block runs."""
        ...

    def load(self) -> LockedState | None:
        """Return what is kept, or None if there is nothing yet."""
        ...

    def save(self, state: MemberState, keys: MemberKeys) -> None:
        """Keep a state, whole or not at all."""
        ...

    def stage(self, state: MemberState, keys: MemberKeys, change: bytes) -> None:
        """Keep the state that follows a revocation, and its message, beside the present one."""
        ...

    def staged(self) -> tuple[LockedState, bytes] | None:
        """Return what ``stage`` kept, if it was neither promoted nor dropped."""
        ...

    def promote(self) -> None:
        """Put the staged state in the place of the present one."""
        ...

    def drop_staged(self) -> None:
        """Take the staged state away."""
        ...


class FileHome:
    """``NAME.member``; what is staged lies beside it, as ``.next`` and ``.change``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = path.with_name(f"{path.name}.next")
        self._change = path.with_name(f"{path.name}.change")

    def locked(self) -> AbstractContextManager[None]:
        """See ``StateHome``."""
        return locked(self.path)

    def load(self) -> LockedState | None:
        """See ``StateHome``. Raises ``file.*`` or ``format.*``."""
        return load_state(self.path) if self.path.exists() else None

    def save(self, state: MemberState, keys: MemberKeys) -> None:
        """See ``StateHome``. Raises ``file.unwritable``."""
        save_state(self.path, state, keys)

    def stage(self, state: MemberState, keys: MemberKeys, change: bytes) -> None:
        """See ``StateHome``: the state comes last, so that with it there is always its message.

        Raises ``file.exists`` where one is staged already.
        """
        if not self._next.exists():
            write_private(self._change, change)
        save_state(self._next, state, keys, new=True)

    def staged(self) -> tuple[LockedState, bytes] | None:
        """See ``StateHome``."""
        if not self._next.exists():
            return None
        return load_state(self._next), read_private(self._change, max_size=_MAX_CHANGE)

    def promote(self) -> None:
        """See ``StateHome``."""
        self._next.replace(self.path)
        self._change.unlink(missing_ok=True)

    def drop_staged(self) -> None:
        """See ``StateHome``. The state stays as ``.given-up``: a server may have lied."""
        if self._next.exists():
            self._next.replace(unused(self.path.with_name(f"{self.path.name}.given-up")))
        self._change.unlink(missing_ok=True)


class MemoryHome:
    """Nothing outlives the process: for an agent that is unlocked for one request or login."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._state: bytes | None = None
        self._next: tuple[bytes, bytes] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See ``StateHome``."""
        with self._lock:
            yield

    def load(self) -> LockedState | None:
        """See ``StateHome``."""
        return None if self._state is None else decode_locked(self._state)

    def save(self, state: MemberState, keys: MemberKeys) -> None:
        """See ``StateHome``."""
        self._state = state.encode(keys.state_key)
        state.note_written()

    def stage(self, state: MemberState, keys: MemberKeys, change: bytes) -> None:
        """See ``StateHome``."""
        self._next = state.encode(keys.state_key), change

    def staged(self) -> tuple[LockedState, bytes] | None:
        """See ``StateHome``."""
        return None if self._next is None else (decode_locked(self._next[0]), self._next[1])

    def promote(self) -> None:
        """See ``StateHome``."""
        if self._next is not None:
            self._state, self._next = self._next[0], None

    def drop_staged(self) -> None:
        """See ``StateHome``."""
        self._next = None


def unused(path: Path) -> Path:
    """Return the path, or the first of ``path.2``, ``path.3``... that nothing lies at."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


def find_home(factors: Iterable[Factor], home: str | Path | None) -> Path:
    """Return the folder of a member's state: ``home``, else where the device key lies."""
    if home is not None:
        return Path(home)
    return next((f.path.parent for f in factors if isinstance(f, DeviceKey)), Path())
