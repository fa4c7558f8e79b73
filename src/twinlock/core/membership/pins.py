"""Pinned heads: what a reader saw once, nobody talks it out of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twinlock.core.membership import errors, wire
from twinlock.errors import CallerError


@dataclass(frozen=True, slots=True)
class PinnedHead:
    """The head of a group's log after entry ``seq``: one statement about its whole history."""

    group_id: bytes
    seq: int
    head: bytes

    def __post_init__(self) -> None:
        wire.require_size("group id", self.group_id, wire.HASH_SIZE)
        wire.require_size("head", self.head, wire.HASH_SIZE)


def check_against_pin(pin: PinnedHead, last_seq: int, head_at: Callable[[int], bytes]) -> None:
    """Check a verified log, of which ``last_seq`` is the newest entry, against a pin.

    ``head_at`` returns the log's head after an entry; it is asked for ``pin.seq`` or ``last_seq``.
    Raises PinConflictError ``log.rollback`` if the log ends before the pin, ``log.fork`` if it has
    another head there.
    """
    if last_seq < pin.seq:
        raise errors.rollback(pin, PinnedHead(pin.group_id, last_seq, head_at(last_seq)))
    shown = PinnedHead(pin.group_id, pin.seq, head_at(pin.seq))
    if shown != pin:
        raise errors.fork(pin, shown)


class PinWatch:
    """Checks pins while a replay passes them, so that nobody has to keep every head."""

    def __init__(self, pins: Iterable[PinnedHead]) -> None:
        self._by_seq: dict[int, list[PinnedHead]] = defaultdict(list)
        for pin in pins:
            self._by_seq[pin.seq].append(pin)

    def require_from(self, seq: int) -> None:
        """Refuse pins that lie before a starting state, where nothing can be compared any more."""
        if any(pinned < seq for pinned in self._by_seq):
            raise CallerError(
                "log.pin-before-start",
                "A pinned head lies before the state from which the replay starts.",
                hint="Replay from entry 0, or from a state that is not newer than the pin.",
            )

    def passing(self, group_id: bytes, seq: int, head: bytes) -> None:
        """Check what is pinned at ``seq``. Raises ``log.fork`` or ``log.wrong-group``."""
        for pin in self._by_seq.pop(seq, ()):
            if pin.group_id != group_id:
                raise errors.wrong_group("group than the pinned head")
            check_against_pin(pin, seq, lambda _: head)

    def ended(self, group_id: bytes, seq: int, head: bytes) -> None:
        """Refuse a log that ends before a pin. Raises ``log.rollback`` or ``log.wrong-group``."""
        for pins in self._by_seq.values():
            for pin in pins:
                if pin.group_id != group_id:
                    raise errors.wrong_group("group than the pinned head")
                check_against_pin(pin, seq, lambda _: head)
