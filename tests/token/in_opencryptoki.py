"""Start openCryptoki's soft token in namespaces of its own, and print what doctor finds.

Run by test_doctor through ``unshare``: the daemon, its sockets and its token folder exist only in
here, so nothing of the machine's own openCryptoki is touched.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.token.binding import load
from twinlock.token.doctor import examine
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.uri import TokenUri

DEFAULT_SO_PIN, DEFAULT_USER_PIN = b"87654321", b"12345678"
SO_PIN, USER_PIN = b"76543210", b"01234567"


def hide(folder: str, keep: bool) -> None:
    """Put a copy of a folder, or an empty one, over it: only this mount namespace sees that."""
    with tempfile.TemporaryDirectory() as copy:
        if keep:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
        if keep:
            shutil.copytree(copy, folder, dirs_exist_ok=True)


def start() -> None:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    hide("/var/lib/opencryptoki", keep=True)
    hide("/run", keep=False)
    for name in ("swtok", "lite", "tpm", "ccatok", "ep11tok", "icsf"):
        Path("/run/lock/opencryptoki", name).mkdir(parents=True)
    for stale in Path("/var/lib/opencryptoki/swtok").glob("*"):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    Path("/var/lib/opencryptoki/swtok/TOK_OBJ").mkdir()
    subprocess.run(["pkcsslotd"], check=True)


def initialise(path: str, slot: int) -> None:
    library, session = ctypes.CDLL(path), ctypes.c_ulong()

    def call(name: str, *arguments: object) -> None:
        value = getattr(library, name)(*arguments)
        assert value == 0, f"{name} answered {value:#x}"

    def size(pin: bytes) -> ctypes.c_ulong:
        return ctypes.c_ulong(len(pin))

    token = ctypes.c_ulong(slot)
    call("C_InitToken", token, DEFAULT_SO_PIN, size(DEFAULT_SO_PIN), b"soft".ljust(32))
    for user, old, new in ((0, DEFAULT_SO_PIN, SO_PIN), (1, DEFAULT_USER_PIN, USER_PIN)):
        call("C_OpenSession", token, ctypes.c_ulong(6), None, None, ctypes.byref(session))
        call("C_Login", session, ctypes.c_ulong(user), old, size(old))
        call("C_SetPIN", session, old, size(old), new, size(new))
        if user == 0:
            call("C_InitPIN", session, DEFAULT_USER_PIN, size(DEFAULT_USER_PIN))
        call("C_CloseSession", session)


def main(path: str) -> None:
    start()
    module = load(path)
    [info] = [info for info in module.tokens() if "Soft" in info.model]
    initialise(path, info.slot)
    token = Pkcs11Token.connect(TokenUri(token="soft", module_path=path), Secret(USER_PIN))
    report = examine(token)
    refusals = {}
    try:
        token.generate_transport_key()
    except TwinlockError as error:
        refusals["transport"] = error.code
    print(json.dumps({"report": report.to_dict(), "lines": report.lines(), "refusals": refusals}))
    token.close()


if __name__ == "__main__":
    main(sys.argv[1])
