"""Sessions of one token: log in once, open further sessions without a PIN, close them all.

The main session carries the login, the transport keys and what is done rarely. Everything made
for a request lives in a session of its own and dies when that is closed, on every path.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError
from twinlock.token.binding import KeySession, Module, TokenInfo
from twinlock.token.calls import SessionCalls
from twinlock.token.returns import LOST, PIN_WRONG, CallError

_FINGERPRINT_KEY: Final = secrets.token_bytes(32)
_refused_pins: set[bytes] = set()
"""Keyed fingerprints of PINs that a token refused in this process: none is sent twice."""


class Login:
    """A logged-in main session. ``lock`` is held while it is used."""

    def __init__(self, module: Module, session: KeySession) -> None:
        self.session = session
        self.calls = SessionCalls(module.functions, session.handle)
        self.lock = threading.RLock()


class SessionPool:
    """The sessions of one token in this process.

    At most ``limit`` sessions work at once; who waits longer than ``wait_seconds`` gets
    ``token.busy``. ``on_login`` runs after each login: handles found before it are void then.
    """

    def __init__(
        self,
        module: Module,
        info: TokenInfo,
        pin: Secret,
        *,
        limit: int,
        wait_seconds: float,
        on_login: Callable[[Login], None],
    ) -> None:
        self._module = module
        self._info = info
        self._pin = pin
        self.limit = limit
        self._wait_seconds = wait_seconds
        self._on_login = on_login
        self._calls = 0
        self._closed = False
        self._start_empty()
        _pools.add(self)

    def _start_empty(self) -> None:
        """Nothing of another process is used: not its locks, threads, sessions or login."""
        self._lock = threading.RLock()
        self._permits = threading.BoundedSemaphore(self.limit)
        self._executor: ThreadPoolExecutor | None = None
        self._login: Login | None = None
        self._suspect = False

    @property
    def calls(self) -> int:
        """PKCS#11 calls made for records, signatures and keys so far."""
        with self._lock:
            main = self._login.calls.calls if self._login is not None else 0
            return self._calls + main

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads that share out large openings; made at the first one."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.limit, thread_name_prefix="twinlock")
            return self._executor

    def login(self) -> Login:
        """Return the main session, logging in anew if it was lost or the process forked.

        Raises ``token.pin-refused`` instead of sending a refused PIN again, ``token.closed``, and
        CallError.
        """
        login = self._login
        if login is not None and not self._suspect:
            return login
        with self._lock:
            if self._closed:
                raise CallerError(
                    "token.closed",
                    "This token object was closed.",
                    hint="Connect again.",
                )
            login, self._login = self._login, None
            if login is not None:
                if self._module.functions.logged_in(login.session.handle):
                    self._login, self._suspect = login, False
                    return login
                self._retire(login)
            login = self._log_in()
            try:
                self._on_login(login)
            except BaseException:
                self._retire(login)
                raise
            self._login, self._suspect = login, False
            return login

    def doubt(self) -> None:
        """Let the next use look whether the main session still lives."""
        self._suspect = True

    @contextmanager
    def main(self) -> Iterator[Login]:
        """Use the main session alone, for what is rare."""
        login = self.login()
        with login.lock, self._watching():
            yield login

    @contextmanager
    def pairing(self) -> Iterator[KeySession]:
        """A fresh session for a key pair that is needed for a moment, and dies with it."""
        session = self._module.open_session(self._info.slot)
        try:
            yield session
        finally:
            self._module.functions.close_session(session.handle)

    @contextmanager
    def holding(self) -> Iterator[SessionCalls]:
        """A fresh session that keeps objects for the time of an opening."""
        self.login()
        functions = self._module.functions
        with self._watching():
            work = SessionCalls(functions, functions.open_session(self._info.slot))
            try:
                yield work
            finally:
                with self._lock:
                    self._calls += work.calls + 2
                functions.close_session(work.session)

    @contextmanager
    def working(self) -> Iterator[SessionCalls]:
        """A fresh session that counts against ``limit``. Raises ``token.busy``."""
        permits = self._permits
        if not permits.acquire(timeout=self._wait_seconds):
            raise EnvError(
                "token.busy",
                f"All {self.limit} sessions to the token are in use.",
                hint="Try again in a moment, or raise the number of sessions.",
                retryable=True,
            )
        try:
            with self.holding() as work:
                yield work
        finally:
            permits.release()

    def close(self) -> None:
        """Close the main session. The token logs out with the process's last session."""
        with self._lock:
            self._closed = True
            login, self._login = self._login, None
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
        if login is not None:
            with login.lock:
                self._retire(login)

    def _log_in(self) -> Login:
        self._module.ensure_initialised()
        fingerprint = self._fingerprint()
        if fingerprint in _refused_pins:
            raise CallerError(
                "token.pin-refused",
                "The token refused this PIN before; it is not sent again, to keep its tries.",
                hint="Correct the PIN source and start the process anew.",
            )
        self._info = self._module.find_again(self._info)
        session = self._module.open_session(self._info.slot)
        try:
            self._module.functions.login(session.handle, self._pin.reveal())
        except CallError as failed:
            if failed.value in PIN_WRONG:
                _refused_pins.add(fingerprint)
            with suppress(CallError):
                self._module.functions.close_session(session.handle)
            raise
        return Login(self._module, session)

    def _retire(self, login: Login) -> None:
        """Close a main session that may be gone already, and keep its count."""
        self._calls += login.calls.calls
        with suppress(CallError):
            self._module.functions.close_session(login.session.handle)

    def _fingerprint(self) -> bytes:
        place = f"{self._module.path}\x00{self._info.serial}\x00".encode()
        return hmac.digest(_FINGERPRINT_KEY, place + self._pin.reveal(), "sha256")

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except CallError as failed:
            if failed.value in LOST:
                self.doubt()
            raise


_pools: weakref.WeakSet[SessionPool] = weakref.WeakSet()


def _forget_sessions() -> None:
    """In a forked child: the sessions, threads and locks are the parent's."""
    for pool in _pools:
        pool._start_empty()


os.register_at_fork(after_in_child=_forget_sessions)
