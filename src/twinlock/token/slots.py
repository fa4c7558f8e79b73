"""From a ``pkcs11:`` URI to one module and one token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from twinlock.errors import CallerError
from twinlock.token.binding import Module, TokenInfo, load
from twinlock.token.uri import TokenUri

_MULTIARCH: Final = getattr(sys.implementation, "_multiarch", "")
_LIBRARY_FOLDERS: Final = tuple(
    Path(folder)
    for folder in (
        "/usr/lib/softhsm",
        "/usr/lib/pkcs11",
        "/usr/lib64/pkcs11",
        f"/usr/lib/{_MULTIARCH}/pkcs11",
        f"/usr/lib/{_MULTIARCH}",
        "/usr/local/lib/softhsm",
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib64",
    )
)


def locate(uri: TokenUri, reserved: str | None) -> tuple[Module, TokenInfo]:
    """Load the URI's module and find its one matching token.

    Raises ``token.module-unknown``, ``token.not-found``, ``token.ambiguous``, and what ``load``
    raises.
    """
    module = load(_module_path(uri), reserved)
    found = [info for info in module.tokens() if _matches(uri, info)]
    if len(found) == 1:
        return module, found[0]
    if not found:
        raise CallerError(
            "token.not-found",
            f"No token of {module.path} matches {uri}.",
            hint="Compare label and serial with `pkcs11-tool --list-slots`.",
        )
    raise CallerError(
        "token.ambiguous",
        f"{len(found)} tokens of {module.path} match {uri}.",
        hint="Add `serial=` to the URI.",
    )


def _module_path(uri: TokenUri) -> str:
    if uri.module_path is not None:
        return uri.module_path
    if uri.module_name is not None:
        names = (f"{uri.module_name}.so", f"lib{uri.module_name}.so")
        for folder in _LIBRARY_FOLDERS:
            for name in names:
                if (folder / name).is_file():
                    return str(folder / name)
    raise CallerError(
        "token.module-unknown",
        "The token URI does not lead to a PKCS#11 library.",
        hint="Add `?module-path=/path/to/the/vendor/library.so`.",
    )


def _matches(uri: TokenUri, info: TokenInfo) -> bool:
    wanted = (
        (uri.token, info.label),
        (uri.serial, info.serial),
        (uri.manufacturer, info.manufacturer),
        (uri.model, info.model),
        (uri.slot_id, info.slot),
    )
    return all(value is None or value == actual for value, actual in wanted)
