"""The shim counts calls, and fails exactly where it is told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.native.floor import Floor, Softhsm, pem, records

KID = bytes(range(16))
RECORDS = 5

Start = Callable[..., AbstractContextManager[Floor]]


@pytest.fixture(scope="module")
def wrapping(softhsm: Softhsm, tmp_path_factory: pytest.TempPathFactory) -> rsa.RSAPublicKey:
    """The public half of a key that is in the token under KID."""
    key = rsa.generate_private_key(65537, 2048)
    softhsm.import_key(tmp_path_factory.mktemp("key") / "key", pem(key), KID)
    return key.public_key()


@pytest.fixture
def through_shim(
    built: Path, softhsm: Softhsm, wrapping: rsa.RSAPublicKey, tmp_path: Path
) -> Start:
    """A function that starts the floor behind the shim, with five records loaded."""

    @contextmanager
    def start(**settings: str) -> Iterator[Floor]:
        extra = {"TWINLOCK_SHIM_MODULE": softhsm.module, "TWINLOCK_SHIM_DELAY_US": "0", **settings}
        shim = str(built / "delay.so")
        with Floor(built / "floor", shim, softhsm, KID, "rsa-oaep", **extra) as floor:
            file = tmp_path / "records"
            sealed = records("rsa-oaep", floor.transport_key(), wrapping, [[b"secret"]] * RECORDS)
            file.write_bytes(sealed)
            floor.ask(f"load {file}")
            yield floor

    return start


def test_calls_are_counted_by_function(through_shim: Start, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    with through_shim(TWINLOCK_SHIM_COUNT=str(counts)) as floor:
        floor.ask(f"round {RECORDS}")
    counted = dict(line.split() for line in counts.read_text().splitlines())
    assert counted["C_UnwrapKey"] == str(1 + 2 * RECORDS)
    assert counted["C_DecryptInit"] == counted["C_Decrypt"] == str(2 * RECORDS)
    assert counted["C_DestroyObject"] == str(RECORDS)
    assert counted["C_OpenSession"] == "3"  # the login, the release, its batch
    assert counted["C_CloseSession"] == "2"
    assert "C_Encrypt" not in counted


@pytest.mark.parametrize(
    ("rules", "dies_with"),
    [
        ("C_Decrypt:1:0x30", "C_Decrypt answered 0x30"),
        ("C_Decrypt:10:0x30", "C_Decrypt answered 0x30"),
        ("C_Decrypt:11:0x30", None),
        ("C_DecryptInit:5:0xB3", "C_DecryptInit answered 0xB3"),
        ("C_Encrypt:1:0x30 C_CloseSession:1+:0xE0", "C_CloseSession answered 0xE0"),
    ],
)
def test_a_rule_fails_the_call_that_it_names_and_no_other(
    through_shim: Start, rules: str, dies_with: str | None
) -> None:
    with through_shim(TWINLOCK_SHIM_FAIL=rules) as floor:
        if dies_with is None:
            assert int(floor.ask(f"round {RECORDS}")) > 0
        else:
            assert dies_with in floor.died(f"round {RECORDS}")


def test_the_control_file_switches_faults_on_and_off_while_a_program_runs(
    through_shim: Start, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    with through_shim(TWINLOCK_SHIM_CONTROL=str(control)) as floor:
        floor.ask(f"round {RECORDS}")
        control.write_text(f"C_Decrypt:{2 * RECORDS + 1}:0x30\n")
        floor.ask(f"round {RECORDS}")
        control.unlink()
        floor.ask(f"round {RECORDS}")
        control.write_text("C_Decrypt:1+:0x30\n")
        assert "C_Decrypt answered 0x30" in floor.died("round 1")


def test_the_delay_is_slept_in_every_working_call(through_shim: Start) -> None:
    delay_us = 2000
    with through_shim(TWINLOCK_SHIM_FAIL=f"delay:{delay_us}") as floor:
        calls = 5 + 7 * RECORDS  # per release with one batch, and per record: see floor.c
        # A sleep never ends early, so this bound holds on any machine.
        assert int(floor.ask(f"round {RECORDS}")) >= calls * delay_us * 1000


def test_a_program_may_end_without_finalizing_and_the_counts_are_still_written(
    through_shim: Start, tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    with through_shim(TWINLOCK_SHIM_COUNT=str(counts)) as floor:
        floor.died("nonsense")
    assert "C_Login 1" in counts.read_text().splitlines()


def test_a_wrong_module_path_is_said_and_nothing_starts(built: Path, softhsm: Softhsm) -> None:
    shim, missing = str(built / "delay.so"), "/nonexistent/module.so"
    with Floor(
        built / "floor", shim, softhsm, KID, "rsa-oaep", TWINLOCK_SHIM_MODULE=missing
    ) as floor:
        assert missing in floor.died("")


def test_the_pin_is_in_no_message(built: Path, softhsm: Softhsm, tmp_path: Path) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text("wrong-canary\n")
    wrong = Softhsm(softhsm.module, softhsm.command, pin_file, dict(softhsm.environment))
    with Floor(built / "floor", softhsm.module, wrong, os.urandom(16), "rsa-oaep") as floor:
        said = floor.died("")
    assert "C_Login answered 0xA0" in said
    assert "canary" not in said
