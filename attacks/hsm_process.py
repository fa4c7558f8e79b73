"""Another process with the PIN: which session objects does it see, by search and by handle?

``python -m attacks.hsm_process URI`` reads the PIN from standard input and prints the number.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attacks.hsm_interface import Interface
from twinlock.core.secret import Secret
from twinlock.token.ck import Cka
from twinlock.token.pkcs11_token import Pkcs11Token

if TYPE_CHECKING:
    from attacks.world import World

_HANDLES: Final = 3000
"""SoftHSM counts handles from 1; a run of all attacks uses fewer at once."""
_SHORT_LIVED: Final = (b"", None)


def keys_seen_elsewhere(world: World, pin: str) -> int:
    """Start the other process and return how many keys it sees that are nobody's to find."""
    done = subprocess.run(
        [sys.executable, "-m", "attacks.hsm_process", world.token_place.uri],
        input=pin,
        text=True,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return int(done.stdout)


def main() -> None:
    """Log in, look everywhere, print the number of keys without a CKA_ID."""
    token = Pkcs11Token.connect(sys.argv[1], Secret(sys.stdin.read().encode()))
    functions = token.module.functions
    session = functions.open_session(token.info.slot)
    api = Interface(ctypes.CDLL(token.module.path), token.info.slot, session)
    seen = set(api.objects({})) | {
        handle for handle in range(1, _HANDLES) if api.attribute(handle, Cka.CLASS) is not None
    }
    # The deployment's long-lived keys bear an id; what lives for one request or one hour does not.
    print(sum(api.attribute(handle, Cka.ID) in _SHORT_LIVED for handle in seen))
    token.close()


if __name__ == "__main__":
    main()
