"""Rewrap and read old rows through pkcs11-spy, and print what must not stand in its trace.

Run by test_adopting_trace in a process of its own: the spy reads its settings once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.token.legacy import make_legacy_key, old_part, wrap_dek
from tests.token.rigs import PIN, init_softhsm, init_softhsm_folder
from twinlock.core.adopting import LegacyOpening, Rewrap
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import aes_key_wrap
from twinlock.core.secret import Secret
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.uri import TokenUri


def main() -> None:
    """Do it for a key that unwraps, then for one that only decrypts."""
    folder, spy = Path(sys.argv[1]), sys.argv[2]
    init_softhsm_folder(folder)
    init_softhsm("spied")
    token = Pkcs11Token.connect(TokenUri(token="spied", module_path=spy), PIN, profile="softhsm")
    keys = [
        token.generate_key(KeyRole.WRAPPING, token.rsa_oaep_suite, rsa_bits=2048),
        token.generate_key(KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
    ]
    output = Path(os.environ["PKCS11SPY_OUTPUT"])
    said: dict[str, dict[str, list[str]]] = {}
    for name, unwraps in (("inside", True), ("host", False)):
        legacy = make_legacy_key(token, unwraps=unwraps)
        start = output.stat().st_size
        kept: dict[str, list[str]] = {"dek": [], "release key": [], "wrapped": []}
        with token.adopting(legacy, allow_host_dek=not unwraps) as adopting:
            for number in range(6):
                dek, release_key = os.urandom(32), os.urandom(32)
                blob, part = wrap_dek(legacy, dek), old_part(dek, b"content", b"aad")
                rewrap = Rewrap(blob, Secret(release_key), keys[number % 2], b"binding", [part])
                [outer] = adopting.rewrap_many([rewrap])
                assert isinstance(outer, bytes)
                [opened] = adopting.open_many([LegacyOpening(blob, [part])])
                assert opened == [b"content"]
                kept["dek"].append(dek.hex())
                kept["release key"].append(release_key.hex())
                kept["wrapped"].append(aes_key_wrap(release_key, dek).hex())
        (folder / f"{name}.trace").write_bytes(output.read_bytes()[start:])
        said[name] = kept
    token.close()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
