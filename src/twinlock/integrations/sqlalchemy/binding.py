"""Which vault a session seals with: it stands in the session's ``info``, so nothing is global."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, object_session, scoped_session, sessionmaker
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from twinlock.errors import CallerError
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.vault import Vault

R = TypeVar("R")
Maker = TypeVar("Maker")

_KEY: Final = "twinlock"


@dataclass(frozen=True, slots=True)
class Binding:
    """A session's vault, and the suite to seal with (None: the vault's default)."""

    vault: Vault
    suite: str | None
    in_threads: bool

    def run(self, work: Callable[[], R]) -> R:
        """Do what may wait for the token: under asyncio in a thread, so that the loop goes on."""
        if self.in_threads and in_greenlet():
            return await_only(asyncio.to_thread(work))
        return work()


def seal_with(sessions: Maker, vault: Vault | AsyncVault, *, suite: str | None = None) -> Maker:
    """Have sessions seal with a vault; returns ``sessions``.

    ``sessions``: a sessionmaker, async_sessionmaker or scoped session (for the sessions that it
    makes from now on), or one session. With an ``AsyncVault``, an AsyncSession's flush seals in
    a thread; give one with ``token-aes``, which waits for the token.

    Raises CallerError ``sealed.binding`` for anything else.
    """
    asynchronous = isinstance(vault, AsyncVault)
    binding = Binding(vault.vault if isinstance(vault, AsyncVault) else vault, suite, asynchronous)
    if isinstance(sessions, scoped_session | async_scoped_session):
        _bind(sessions.session_factory, binding)
    else:
        _bind(sessions, binding)
    return sessions


def binding_of(target: object) -> Binding:
    """Return the binding of a mapped object's session. Raises CallerError ``sealed.no-vault``."""
    session = object_session(target)
    found = None if session is None else session.info.get(_KEY)
    if not isinstance(found, Binding):
        raise CallerError(
            "sealed.no-vault",
            "This session has values to seal and no vault to seal them with.",
            hint="Call seal_with(sessionmaker, vault) once, where the sessionmaker is made.",
        )
    return found


def _bind(sessions: Any, binding: Binding) -> None:
    if isinstance(sessions, sessionmaker | async_sessionmaker):
        sessions.configure(info={**(sessions.kw.get("info") or {}), _KEY: binding})
    elif isinstance(sessions, Session | AsyncSession):
        sessions.info[_KEY] = binding
    else:
        raise CallerError(
            "sealed.binding",
            f"A {type(sessions).__name__} makes no sessions.",
            hint="Pass a sessionmaker, an async_sessionmaker, a scoped session or a session.",
        )
