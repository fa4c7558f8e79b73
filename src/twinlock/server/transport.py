"""Transport keys: session objects of this process, rotated hourly, stated per agent session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twinlock.core.ports import Clock, Token, TransportKey
from twinlock.core.request import MAX_REQUEST_LIFE
from twinlock.core.statements import Directory, Statement, transport_statement

ROTATION: Final = 3600
STATEMENT_LIFE: Final = 3600 + MAX_REQUEST_LIFE
STATEMENTS_KEPT: Final = 4096
"""Statements that are kept to be used again; agents choose nonces, so they may be any number."""


@dataclass(slots=True)
class _Current:
    key: TransportKey
    made: int
    statements: dict[bytes, Statement] = field(default_factory=dict)


class TransportKeys:
    """Makes, states and retires transport keys of one token connection."""

    def __init__(
        self,
        deployment_id: bytes,
        token: Callable[[], Token],
        directory: Callable[[], Directory],
        clock: Clock,
    ) -> None:
        self._deployment_id = deployment_id
        self._token = token
        self._directory = directory
        self._clock = clock
        self._current: _Current | None = None
        self._retired: list[_Current] = []
        self._lock = threading.Lock()

    def stated_to(self, agent_nonce: bytes) -> tuple[TransportKey, Statement]:
        """Return the current key and the identity key's statement over this agent's nonce."""
        with self._lock:
            current = self._rotated()
            found = current.statements.get(agent_nonce)
            if found is None:
                if len(current.statements) >= STATEMENTS_KEPT:
                    current.statements.clear()
                found = self._state(current, agent_nonce)
                current.statements[agent_nonce] = found
            return current.key, found

    def forget(self, kid: bytes) -> None:
        """Take note that the token lost a key, as it does with its session: make another one."""
        with self._lock:
            if self._current is not None and self._current.key.kid == kid:
                self._current = None

    def retire_all(self) -> None:
        """Destroy every transport key: releases made for them never open again."""
        with self._lock:
            current = [] if self._current is None else [self._current]
            for old in [*current, *self._retired]:
                self._token().destroy_transport_key(old.key.kid)
            self._current, self._retired = None, []

    def _rotated(self) -> _Current:
        now = self._clock()
        current = self._current
        if current is None or not current.made <= now < current.made + ROTATION:
            if current is not None:
                self._retired.append(current)
            current = _Current(self._token().generate_transport_key(), now)
            self._current = current
        # A retired key serves out the requests that name it, and no longer.
        for old in [r for r in self._retired if now > r.made + ROTATION + MAX_REQUEST_LIFE]:
            self._token().destroy_transport_key(old.key.kid)
            self._retired.remove(old)
        return current

    def _state(self, current: _Current, agent_nonce: bytes) -> Statement:
        raw = transport_statement(
            self._deployment_id,
            current.key,
            current.made,
            current.made + STATEMENT_LIFE,
            agent_nonce,
        )
        return Statement(raw, self._token().sign(self._directory().identity.kid, raw))
