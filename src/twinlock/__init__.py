"""Twinlock: records that open only when a member and the HSM turn their keys together.

The names below are the public API. The member's side (``Agent``, its factors) needs neither
PKCS#11 nor a database; ``Vault`` and what belongs to it is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from twinlock.agent.agent import Agent, Release
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.core.context import Context
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError

if TYPE_CHECKING:
    from twinlock.server.asynchronous import AsyncVault
    from twinlock.server.opened import Opened
    from twinlock.server.records import Sealed, SealedFile, SealedRow
    from twinlock.server.requests import Request
    from twinlock.server.vault import AllOf, Vault

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

_SERVER = {
    "AllOf": "twinlock.server.vault",
    "AsyncVault": "twinlock.server.asynchronous",
    "Opened": "twinlock.server.opened",
    "Request": "twinlock.server.requests",
    "Sealed": "twinlock.server.records",
    "SealedFile": "twinlock.server.records",
    "SealedRow": "twinlock.server.records",
    "Vault": "twinlock.server.vault",
}


def __getattr__(name: str) -> Any:
    if name not in _SERVER:
        raise AttributeError(f"module 'twinlock' has no attribute {name!r}")
    return getattr(import_module(_SERVER[name]), name)
