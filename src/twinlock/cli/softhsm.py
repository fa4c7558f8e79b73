"""A SoftHSM token in a folder of its own, for the demo and for a developer's laptop."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from twinlock.errors import CallerError, EnvError
from twinlock.files import write_private

_MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True, slots=True)
class SoftHsmToken:
    """A new token: its URI, its PIN file, and the configuration that SOFTHSM2_CONF must name."""

    uri: str
    pin_file: Path
    configuration: Path


def make_softhsm_token(folder: Path, label: str) -> SoftHsmToken:
    """Initialise a token with a random PIN under ``folder``, and point this process at it.

    SoftHSM reads SOFTHSM2_CONF once per process, so call this before any token is connected.
    Raises CallerError ``softhsm.missing``, EnvError ``softhsm.failed``.
    """
    module, tool = _module(), _tool()
    tokens = folder / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens.resolve()}\n"
        "objectstore.backend = file\n"
        "log.level = ERROR\n",
        encoding="utf-8",
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration.resolve())
    pin, so_pin = secrets.token_hex(8), secrets.token_hex(8)
    # softhsm2-util takes PINs as arguments only; this one guards a throw-away token.
    command = [tool, "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", so_pin]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvError(
            "softhsm.failed",
            "softhsm2-util could not make a token.",
            hint=(done.stderr or done.stdout).strip().replace(pin, "…").replace(so_pin, "…")[:300],
        )
    pin_file = folder / "pin"
    write_private(pin_file, pin.encode())
    uri = f"pkcs11:token={quote(label)}?module-path={quote(module, safe='/')}"
    return SoftHsmToken(uri, pin_file, configuration)


def _module() -> str:
    named = os.environ.get("TWINLOCK_SOFTHSM_MODULE")
    found = named or next((path for path in _MODULES if Path(path).exists()), None)
    if found is None:
        raise _missing("the module libsofthsm2.so")
    return found


def _tool() -> str:
    found = os.environ.get("TWINLOCK_SOFTHSM_UTIL") or shutil.which("softhsm2-util")
    if found is None:
        raise _missing("the program softhsm2-util")
    return found


def _missing(what: str) -> CallerError:
    return CallerError(
        "softhsm.missing",
        f"SoftHSM is not installed: {what} was not found.",
        hint="Install the package softhsm2 (Debian, Ubuntu) or softhsm.",
    )
