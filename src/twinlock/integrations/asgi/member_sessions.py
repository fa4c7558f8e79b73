"""Exchanges under way: kept in this process, bounded in number and time, each taken once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from twinlock.core.ports import Clock, Randomness
from twinlock.errors import EnvError
from twinlock.integrations.asgi.wire import to_base64url

MAX_KEPT: Final = 4096
MAX_OF_ONE: Final = 64
"""Exchanges of one source; the oldest makes room."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    source: str
    expires: int


class OneUse(Generic[T]):
    """Values that are handed out by a random name: once, and for ``life`` seconds. For threads."""

    def __init__(
        self, life: int, *, clock: Clock, randomness: Randomness = os.urandom, limit: int = MAX_KEPT
    ) -> None:
        self._life = life
        self._clock = clock
        self._randomness = randomness
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._by_source: dict[str, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, value: T, source: str) -> str:
        """Keep a value and return its name. Raises EnvError ``http.busy`` when all is full."""
        with self._lock:
            self._drop_expired()
            own = self._by_source.get(source)
            if own is not None and len(own) >= MAX_OF_ONE:
                self._drop(next(iter(own)))
            if len(self._kept) >= self._limit:
                raise EnvError(
                    "http.busy",
                    "Too many exchanges are under way.",
                    hint="Try again in a moment.",
                    retryable=True,
                )
            name = to_base64url(self._randomness(16))
            self._kept[name] = _Kept(value, source, self._clock() + self._life)
            self._by_source.setdefault(source, OrderedDict())[name] = None
            return name

    def take(self, name: str) -> T | None:
        """Take a value away; None for one that was taken, expired, or never was."""
        with self._lock:
            self._drop_expired()
            return None if name not in self._kept else self._drop(name)

    def _drop_expired(self) -> None:
        """Drop from the oldest on: all live equally long."""
        now = self._clock()
        while self._kept:
            name, oldest = next(iter(self._kept.items()))
            if now <= oldest.expires:
                return
            self._drop(name)

    def _drop(self, name: str) -> T:
        gone = self._kept.pop(name)
        own = self._by_source[gone.source]
        del own[name]
        if not own:
            del self._by_source[gone.source]
        return gone.value
