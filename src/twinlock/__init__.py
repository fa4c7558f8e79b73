"""Twinlock: records that open only when a member and the HSM turn their keys together.

The names below are the public API. Each is loaded when it is first used: the member's side
(``Agent``, its factors) needs neither PKCS#11 nor a database, ``Vault`` and what belongs to it
does, and importing the package alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinlock.agent.agent import Agent, Release
    from twinlock.agent.factors import DeviceKey, Passphrase
    from twinlock.core.context import Context
    from twinlock.errors import CallerError, DataError, EnvError, TwinlockError
    from twinlock.server.asynchronous import AsyncVault
    from twinlock.server.opened import Opened
    from twinlock.server.records import Sealed, SealedFile, SealedRow
    from twinlock.server.requests import Request
    from twinlock.server.sealing import AllOf
    from twinlock.server.vault import Vault

__all__ = [
    "Agent",
    "AllOf",
    "AsyncVault",
    "CallerError",
    "Context",
    "DataError",
    "DeviceKey",
    "EnvError",
    "Opened",
    "Passphrase",
    "Release",
    "Request",
    "Sealed",
    "SealedFile",
    "SealedRow",
    "TwinlockError",
    "Vault",
]

_PLACES = {
    "Agent": "twinlock.agent.agent",
    "AllOf": "twinlock.server.sealing",
    "AsyncVault": "twinlock.server.asynchronous",
    "CallerError": "twinlock.errors",
    "Context": "twinlock.core.context",
    "DataError": "twinlock.errors",
    "DeviceKey": "twinlock.agent.factors",
    "EnvError": "twinlock.errors",
    "Opened": "twinlock.server.opened",
    "Passphrase": "twinlock.agent.factors",
    "Release": "twinlock.agent.agent",
    "Request": "twinlock.server.requests",
    "Sealed": "twinlock.server.records",
    "SealedFile": "twinlock.server.records",
    "SealedRow": "twinlock.server.records",
    "TwinlockError": "twinlock.errors",
    "Vault": "twinlock.server.vault",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'twinlock' has no attribute {name!r}")
    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
