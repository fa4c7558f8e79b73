"""Long answers in pages, each from a transaction of its own.

Memory stays constant, and no transaction stays open while the caller works on what it got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

PAGE = 64

Item = TypeVar("Item")
Key = TypeVar("Key")


def paged(
    fetch: Callable[[Key, int], list[Item]],
    start: Key,
    next_key: Callable[[Item], Key],
    limit: int | None,
) -> Iterator[Item]:
    """Yield what ``fetch(key, size)`` returns from ``start`` on, at most ``limit`` items."""
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = fetch(start, size)
        yield from page
        if len(page) < size:
            return
        start = next_key(page[-1])
        left = None if left is None else left - size
