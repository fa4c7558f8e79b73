"""Testing applications of Twinlock without an HSM: the real code on a token in memory.

``memory_vault()`` makes a whole deployment; the pytest plugin offers it as fixtures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinlock.server.own_services import VaultHardening
    from twinlock.testing.clock import MemoryClock
    from twinlock.testing.deployment import MemoryDeployment, memory_vault
    from twinlock.testing.member import MemoryMember
    from twinlock.testing.memory_token import MemoryToken

__all__ = [
    "MemoryClock",
    "MemoryDeployment",
    "MemoryMember",
    "MemoryToken",
    "VaultHardening",
    "memory_vault",
]

_PLACES = {
    "MemoryClock": "twinlock.testing.clock",
    "MemoryDeployment": "twinlock.testing.deployment",
    "MemoryMember": "twinlock.testing.member",
    "MemoryToken": "twinlock.testing.memory_token",
    "VaultHardening": "twinlock.server.own_services",
    "memory_vault": "twinlock.testing.deployment",
}


# Lazy, because pytest imports this package to load the plugin even when no test uses it.
def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'twinlock.testing' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
