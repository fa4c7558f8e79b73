"""Records of the store that are still sealed to older epochs of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinlock.cli.terminal import Terminal
from twinlock.core.envelope import AllLock, decode_row_head
from twinlock.core.membership import GroupState
from twinlock.errors import DataError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault


def count_stale(terminal: Terminal, vault: Vault, state: GroupState) -> int:
    """Count the store's records with a lock for an epoch of ``state`` before its current one.

    A record whose head cannot be read opens for nobody and is not counted.
    """
    count = 0
    with terminal.progress("Looking at records") as advance:
        for table in vault.store.records.tables():
            for row in vault.store.records.rows(table):
                count += _is_stale(row.head, state)
                advance(1)
    return count


def _is_stale(head: bytes, state: GroupState) -> bool:
    try:
        locks = decode_row_head(head).header.locks
    except DataError:
        return False
    entries = [e for lock in locks for e in (lock.shares if isinstance(lock, AllLock) else (lock,))]
    current = state.current_epoch.number
    return any(e.group_id == state.group_id and e.epoch < current for e in entries)
