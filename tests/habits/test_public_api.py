"""The public API is what is written here; a name more or less is a decision."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import twinlock
from tests.server.test_program import PROGRAM

README = Path(__file__).parents[2] / "README.md"
NAMES = [
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


def test_the_public_names_are_these() -> None:
    assert sorted(twinlock.__all__) == NAMES


def test_every_public_name_is_there() -> None:
    for name in NAMES:
        assert getattr(twinlock, name).__name__ == name


def test_importing_the_package_loads_neither_pkcs11_nor_a_database() -> None:
    code = (
        "import sys, twinlock; twinlock.Agent; "
        "print([m for m in ('pkcs11', 'sqlalchemy', 'twinlock.server') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_program_in_the_readme_is_the_one_that_is_tested() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert PROGRAM.strip() in [block.strip() for block in blocks]
