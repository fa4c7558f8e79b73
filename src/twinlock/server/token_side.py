"""The token and its directory, as one process holds them: connected late, read again in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from twinlock.core.ports import Clock, Token
from twinlock.core.statements import Directory, Statement
from twinlock.errors import EnvError
from twinlock.server.config import Config
from twinlock.server.setup import load_directory
from twinlock.store.sql import SqlStore

DIRECTORY_LIFE: Final = 60
"""Seconds for which the token directory counts before it is read again."""


class TokenSide:
    """One token, with the keys of the verified directory loaded. Safe for many threads.

    The token is connected when it is first needed.
    """

    def __init__(
        self, config: Config, store: SqlStore, connect: Callable[[], Token], clock: Clock
    ) -> None:
        self.connect = connect
        self._config = config
        self._store = store
        self._clock = clock
        self._lock = threading.RLock()
        self._token: Token | None = None
        self._directory: Directory | None = None
        self._statements: list[Statement] = []
        self._read_at = 0

    def token(self) -> Token:
        """Return the token, connected."""
        with self._lock:
            if self._token is None:
                token = self.connect()
                try:
                    token.load_keys(entry.key for entry in self.directory().entries)
                except BaseException:
                    token.close()
                    raise
                self._token = token
            return self._token

    def directory(self) -> Directory:
        """Return the directory, read again every minute: keys may be added meanwhile."""
        with self._lock:
            now, known = self._clock(), self._directory
            if known is None or not self._read_at <= now < self._read_at + DIRECTORY_LIFE:
                self._statements, known = load_directory(self._store, self._config, now)
                self._hold_new_keys(known)
                self._directory, self._read_at = known, now
            return known

    def statements(self) -> Sequence[Statement]:
        """Return the statements that the directory was read from."""
        with self._lock:
            _ = self.directory()
            return self._statements

    def directory_with_statements(self) -> tuple[Directory, Sequence[Statement]]:
        """Return both, of one reading."""
        with self._lock:
            return self.directory(), self._statements

    def identity_with_statements(self) -> tuple[bytes, Sequence[Statement]]:
        """Return the identity's public key (SPKI) and the statements, of one reading."""
        directory, statements = self.directory_with_statements()
        return directory.identity.public, statements

    def read_again(self) -> None:
        """Have the directory read at its next use: it was just changed."""
        with self._lock:
            self._read_at = -DIRECTORY_LIFE

    def know(self, kids: Iterable[bytes]) -> None:
        """Read the directory again if it does not state all of these keys."""
        if not {entry.key.kid for entry in self.directory().entries}.issuperset(kids):
            self.read_again()
            _ = self.directory()

    def close(self, before: Callable[[], None]) -> None:
        """Log out, if the token was connected; ``before`` is done first."""
        with self._lock:
            if self._token is not None:
                # A token that is out of reach has lost the session, and its keys with it.
                with suppress(EnvError):
                    before()
                with suppress(EnvError):
                    self._token.close()
                self._token = None

    def _hold_new_keys(self, directory: Directory) -> None:
        held = set() if self._directory is None else {e.key for e in self._directory.entries}
        new = [entry.key for entry in directory.entries if entry.key not in held]
        if self._token is not None and new:
            self._token.load_keys(new)
