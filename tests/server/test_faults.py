"""The token or the database fails: clear errors, nothing opened by halves, work goes on after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server import faulty
from tests.server.world import DIAGNOSIS, World, copy_of, found_on_softhsm, world_on_softhsm
from tests.token.rigs import PIN, SOFTHSM, init_softhsm
from twinlock import CallerError, EnvError, TwinlockError, Vault
from twinlock.server.config import Config, render_config
from twinlock.store.sql import SqlStore

SHIM = Path(__file__).parents[2] / "build" / "native" / "delay.so"
GROUPS = {"cardiology": ["weber", "kim"]}


# --- a token that fails while it works -----------------------------------------------------------


@pytest.fixture(scope="module")
def ended(softhsm_uri: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a server saw of a token behind the shim, by scenario."""
    if not SHIM.exists():
        pytest.skip("the shim is not built: make native")
    folder = tmp_path_factory.mktemp("faults")
    with world_on_softhsm(folder, softhsm_uri, groups=GROUPS) as world:
        shimmed = replace(world.config, token_uri=softhsm_uri.replace(SOFTHSM, str(SHIM)))
        (folder / "twinlock.toml").write_text(render_config(shimmed))
    control = folder / "control"
    done = subprocess.run(
        [sys.executable, "-m", "tests.server.faulty", str(folder), str(control)],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TWINLOCK_SHIM_MODULE": SOFTHSM,
            "TWINLOCK_SHIM_CONTROL": str(control),
            "TWINLOCK_SHIM_DELAY_US": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, list[str]] = json.loads(done.stdout)
    return results


CODES = {
    "session handle invalid while unwrapping": "token.session-lost",
    "no session opens": "token.session-lost",
    "token pulled while decrypting": "token.session-lost",
    "logged out behind our back": "token.session-lost",
    "one device error": "token.device-error",
    "no memory": "token.exhausted",
    "general error that is no data's": "token.failed",
}


def test_every_scenario_has_its_code() -> None:
    assert set(CODES) == set(faulty.SCENARIOS)


@pytest.mark.parametrize("scenario", sorted(CODES))
def test_a_failing_token_is_named_noted_and_opens_nothing(
    ended: dict[str, list[str]], scenario: str
) -> None:
    code = CODES[scenario]
    said = code if code == "token.failed" else f"{code} (retryable)"
    assert ended[scenario] == [said, "opening", f"failed: {code}"]


@pytest.mark.parametrize("scenario", sorted(CODES))
def test_the_server_works_again_without_a_restart(
    ended: dict[str, list[str]], scenario: str
) -> None:
    afterwards = ended[f"{scenario}, afterwards"]
    # A lost session costs the transport key too: at most one more request is told to ask again.
    assert afterwards[0] in ("I48.0", "token.transport-gone (retryable)")
    assert afterwards[1:] == ["I48.0"] * 3


def test_sealing_in_a_failing_token_says_so(ended: dict[str, list[str]]) -> None:
    assert ended["sealing"] == ["token.device-error (retryable)", "sealed"]


# --- a token that is not there -------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(softhsm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    # A token of its own: one that is logged in already takes any PIN (PKCS#11 v3.1, 5.6.8).
    uri = init_softhsm("fault tests")
    config, _ = found_on_softhsm(tmp_path_factory.mktemp("original"), uri)
    return config


@pytest.fixture
def founded(original: Config, tmp_path: Path) -> Config:
    """A deployment without groups."""
    return copy_of(original, tmp_path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token_uri": f"pkcs11:token=absent?module-path={SOFTHSM}"}, "token.not-found"),
        ({"token_uri": "pkcs11:token=x?module-path=/nonexistent.so"}, "token.module-unusable"),
        ({"token_uri": f"pkcs11:token=x?module-path={__file__}"}, "token.module-unusable"),
        ({"token_uri": "https://hsm.example"}, "token.uri"),
        ({"token_profile": "abacus"}, "token.profile-unknown"),
    ],
)
def test_a_token_that_cannot_be_reached_is_said_when_it_is_needed(
    founded: Config, change: dict[str, str], code: str
) -> None:
    with Vault.connect(replace(founded, **change)) as vault:
        assert vault.directory.entries
        with pytest.raises(TwinlockError) as caught:
            _ = vault.token
    assert caught.value.code == code


def test_a_wrong_pin_is_sent_once_and_the_right_one_still_works(founded: Config) -> None:
    assert founded.pin_file is not None
    founded.pin_file.write_text("0000-wrong\n")
    for code in ("token.pin-incorrect", "token.pin-refused", "token.pin-refused"):
        with Vault.connect(founded) as vault, pytest.raises(CallerError) as caught:
            _ = vault.token
        assert caught.value.code == code
        assert "0000-wrong" not in str(caught.value)
    founded.pin_file.write_bytes(PIN.reveal())
    with Vault.connect(founded) as vault:
        assert vault.token.serial


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({"pin_file": Path("/nonexistent/pin")}, None),
        ({"pin_file": None, "pin_env": "TWINLOCK_NO_SUCH_PIN"}, None),
        ({}, b""),
        ({}, b"\n"),
        ({"pin_file": None}, None),
    ],
)
def test_a_pin_that_is_not_there_is_said_to_be_missing(
    founded: Config, change: dict[str, object], content: bytes | None
) -> None:
    if content is not None:
        assert founded.pin_file is not None
        founded.pin_file.write_bytes(content)
    with Vault.connect(replace(founded, **change)) as vault, pytest.raises(TwinlockError) as caught:
        _ = vault.token
    assert caught.value.code.startswith(("pin.", "token.pin", "file."))


def test_another_token_lacks_the_keys(founded: Config) -> None:
    other = init_softhsm("restored empty")
    with Vault.connect(replace(founded, token_uri=other)) as vault:
        with pytest.raises(EnvError) as caught:
            _ = vault.token
        assert caught.value.code == "token.key-missing"
        with pytest.raises(EnvError):
            _ = vault.token


def test_a_directory_of_another_token_is_refused(founded: Config) -> None:
    strange = replace(founded, identity=bytes(32))
    with Vault.connect(strange) as vault, pytest.raises(TwinlockError) as caught:
        _ = vault.directory
    assert caught.value.code == "directory.identity"


# --- a database that is not there ----------------------------------------------------------------


@pytest.fixture
def filed(tmp_path: Path, softhsm_uri: str) -> Iterator[World]:
    with world_on_softhsm(tmp_path, softhsm_uri, groups=GROUPS) as world:
        yield world


def damage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


@pytest.mark.parametrize("loss", [Path.unlink, damage], ids=["gone", "damaged"])
def test_without_the_database_nothing_is_opened_and_with_it_again_all_goes_on(
    filed: World, loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = filed.config.folder / "store.db"
    request = filed.asked_for()
    release = filed.kim.release(request)
    filed.vault.store.close()  # drops the connections, which would still see the old file
    whole = database.read_bytes()
    loss(database)
    reached: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(filed.vault.token, "opening", lambda *_: reached.append("opening"))
        for use in (
            lambda: filed.vault.open(request, release),
            lambda: filed.vault.group("unknown"),
            lambda: filed.asked_for("y", "token-aes"),
        ):
            filed.clock.forward(2)
            with pytest.raises(EnvError) as caught:
                use()
            assert caught.value.code.startswith("store.")
    assert reached == []
    filed.vault.store.close()
    for leftover in filed.config.folder.glob("store.db*"):
        leftover.unlink()
    database.write_bytes(whole)
    filed.clock.forward(-6)
    assert filed.vault.open(request, release)[0].ok


def test_a_database_that_was_never_made_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(TwinlockError) as caught:
        SqlStore.connect(f"sqlite:///{tmp_path}/nothing.db")
    assert caught.value.code == "store.missing"


def test_yesterdays_database_is_refused_by_todays_pins(filed: World, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    filed.vault.store.close()  # the last connection's end writes everything into the file
    yesterday = copy_of(filed.config, backup)
    writers = list(filed.vault.group_state(filed.ward).writers.values())
    filed.vault.append(filed.weber.agent.admin.set_writers(filed.ward.group_id, writers))
    mixed = replace(filed.config, store_url=yesterday.store_url)
    with Vault.connect(mixed) as vault, pytest.raises(TwinlockError) as caught:
        vault.group("cardiology")
    assert caught.value.code == "log.rollback"
    with Vault.connect(filed.config) as vault:
        assert vault.seal("x", to=vault.group("cardiology"), context=DIAGNOSIS).to_bytes()
