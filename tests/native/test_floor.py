"""The benchmark's C floor opens what software sealed, in every mode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.native.floor import Floor, Softhsm, pem, records

MODES = {
    "rsa-oaep": [[b"I48.0 atrial fibrillation"], [b"J45.9 asthma"]],
    "token-aes": [[b"I48.0 atrial fibrillation"], [b"J45.9 asthma"]],
    "token-only": [[b"I48.0 atrial fibrillation"], [b"J45.9 asthma"]],
    "bulk": [[os.urandom(16384) for _ in range(64)]],
}


@pytest.mark.parametrize("mode", MODES)
def test_the_floor_opens_what_software_sealed(
    mode: str, built: Path, softhsm: Softhsm, tmp_path: Path
) -> None:
    kid, wrapping = os.urandom(16), _wrapping_key(mode)
    if isinstance(wrapping, bytes):
        softhsm.import_key(tmp_path / "key", wrapping, kid, "--aes")
    else:
        softhsm.import_key(tmp_path / "key", pem(wrapping), kid)
    with Floor(built / "floor", softhsm.module, softhsm, kid, mode) as floor:
        public = wrapping if isinstance(wrapping, bytes) else wrapping.public_key()
        file = tmp_path / "records"
        file.write_bytes(records(mode, floor.transport_key(), public, MODES[mode]))
        assert floor.ask(f"load {file}") == f"loaded {len(MODES[mode])}"
        for position, segments in enumerate(MODES[mode]):
            assert bytes.fromhex(floor.ask(f"show {position}")) == b"".join(segments)
        assert int(floor.ask(f"round {len(MODES[mode])}")) > 0


def test_the_floor_refuses_a_record_whose_ciphertext_was_changed(
    built: Path, softhsm: Softhsm, tmp_path: Path
) -> None:
    kid, wrapping = os.urandom(16), rsa.generate_private_key(65537, 2048)
    softhsm.import_key(tmp_path / "key", pem(wrapping), kid)
    with Floor(built / "floor", softhsm.module, softhsm, kid, "rsa-oaep") as floor:
        content = records("rsa-oaep", floor.transport_key(), wrapping.public_key(), [[b"secret"]])
        end = len(content) - len(b"context") - 4
        damaged = content[: end - 1] + bytes([content[end - 1] ^ 1]) + content[end:]
        (tmp_path / "records").write_bytes(damaged)
        floor.ask(f"load {tmp_path / 'records'}")
        assert "C_Decrypt answered" in floor.died("round 1")


def _wrapping_key(mode: str) -> rsa.RSAPrivateKey | bytes:
    if mode == "token-aes":
        # softhsm2-util 2.6.1 reads the file as a line of text: no zero byte, no newline.
        return os.urandom(16).hex().encode()
    return rsa.generate_private_key(65537, 2048)
