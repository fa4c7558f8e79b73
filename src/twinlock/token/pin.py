"""Where the user PIN comes from: a file, an environment variable or a question. Never argv."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError

PinSource = Secret | Callable[[], Secret]
"""A PIN, or what asks for it once."""

_MAX_PIN_BYTES: Final = 256
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def pin_from_file(path: Path) -> Secret:
    """Read the PIN from the first line of a file that only its owner may read.

    Raises CallerError ``pin.file-open-to-others`` or ``pin.malformed``, EnvError
    ``pin.file-unreadable``.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & _OTHERS:
                raise CallerError(
                    "pin.file-open-to-others",
                    f"The PIN file {path} is not a regular file that only its owner can read.",
                    hint=f"Run `chmod 600 {path}`, and change the PIN if others have read it.",
                )
            content = file.read(_MAX_PIN_BYTES + 2)
    except OSError as error:
        raise EnvError(
            "pin.file-unreadable",
            f"The PIN file {path} cannot be read: {error.strerror}.",
            hint="Check the path and that the service's user owns the file.",
        ) from error
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    return _checked(line, f"the file {path}")


def pin_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """Read the PIN from an environment variable. Raises ``pin.missing`` or ``pin.malformed``."""
    value = environment.get(name)
    if value is None:
        raise CallerError(
            "pin.missing",
            f"The environment variable {name} that should hold the PIN is not set.",
            hint="Set it for the service alone, or use a PIN file.",
        )
    return _checked(value.encode("utf-8", "surrogateescape"), f"the variable {name}")


def pin_from_source(source: str) -> Secret:
    """Follow a URI's ``pin-source``: ``file:/path``, an absolute path, or ``env:NAME``.

    Raises CallerError ``pin.source`` for any other; ``|command`` of RFC 7512 is not run.
    """
    if source.startswith("env:"):
        return pin_from_environment(source.removeprefix("env:"))
    path = unquote(source.removeprefix("file:").removeprefix("//"))
    if path.startswith("/"):
        return pin_from_file(Path(path))
    raise CallerError(
        "pin.source",
        "This pin-source is neither a file nor an environment variable.",
        hint="Use `file:/absolute/path` or `env:NAME`. Commands are not run.",
    )


def resolve_pin(pin: PinSource | None, source: str | None) -> Secret:
    """Return the PIN that was given, or asked for, or that the URI's ``pin-source`` names."""
    if isinstance(pin, Secret):
        return pin
    if pin is not None:
        return pin()
    if source is not None:
        return pin_from_source(source)
    raise CallerError(
        "pin.missing",
        "No PIN was given for the token.",
        hint="Name a PIN file in the configuration, or give the URI a `pin-source`.",
    )


def _checked(value: bytes, where: str) -> Secret:
    if not value or len(value) > _MAX_PIN_BYTES or any(byte in value for byte in b"\x00\n\r"):
        raise CallerError(
            "pin.malformed",
            f"What {where} holds is not one line of 1 to {_MAX_PIN_BYTES} bytes.",
            hint="Write the PIN alone on the first line.",
        )
    return Secret(value)
