"""Founding a deployment, its keys and files."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.world import draft_config
from twinlock import CallerError, DataError
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.statements import CLOCK_SKEW, identity_fingerprint
from twinlock.server.setup import (
    KEY_LIFE,
    add_wrapping_key,
    create_writer_key,
    deployment_card,
    found_deployment,
    load_directory,
    outer_suites,
    read_writer_key,
    state_key,
    write_config,
    writer_of,
)
from twinlock.store.sql import SqlStore
from twinlock.testing import MemoryToken

NOW = 1_800_000_000


@pytest.fixture
def founded(tmp_path: Path):
    """(configuration, store, token) of a fresh deployment."""
    token, store = MemoryToken(), SqlStore.connect("sqlite://", create=True)
    suites = outer_suites(["rsa-oaep", "token-aes"], token)
    config = found_deployment(
        draft_config(tmp_path, ""), store, token, suites=suites, rsa_bits=2048, clock=lambda: NOW
    )
    yield config, store, token
    store.close()


def test_a_deployment_states_one_key_for_each_purpose(founded) -> None:
    config, store, token = founded
    statements, directory = load_directory(store, config, NOW)
    kinds = {(entry.key.role, entry.key.suite) for entry in directory.entries}
    assert kinds == {
        (KeyRole.IDENTITY, None),
        (KeyRole.LOG, None),
        (KeyRole.AUDIT, None),
        (KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA256),
        (KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
    }
    assert len(statements) == len({entry.key.kid for entry in directory.entries}) == 5
    assert config.identity == identity_fingerprint(directory.identity.public)
    assert {entry.serial for entry in directory.entries} == {token.serial}
    card = deployment_card(config)
    assert (card.deployment_id, card.identity_fingerprint) == (
        config.deployment_id,
        config.identity,
    )


@pytest.mark.parametrize("now", [NOW - CLOCK_SKEW, NOW + KEY_LIFE + CLOCK_SKEW])
def test_keys_are_known_to_clocks_that_differ_a_little(founded, now: int) -> None:
    config, store, _ = founded
    assert len(load_directory(store, config, now)[1].entries) == 5


@pytest.mark.parametrize("now", [NOW - CLOCK_SKEW - 1, NOW + KEY_LIFE + CLOCK_SKEW + 1])
def test_keys_are_unknown_outside_of_their_time(founded, now: int) -> None:
    config, store, _ = founded
    with pytest.raises(DataError) as caught:
        load_directory(store, config, now)
    assert caught.value.code == "directory.identity"


def test_a_store_belongs_to_one_deployment(founded, tmp_path: Path) -> None:
    _, store, token = founded
    before = token.objects
    with pytest.raises(CallerError) as caught:
        found_deployment(draft_config(tmp_path, ""), store, token, suites=[])
    assert caught.value.code == "deployment.exists"
    assert token.objects == before


def test_the_newest_wrapping_key_is_current(founded) -> None:
    config, store, token = founded
    suite = OuterSuite.TOKEN_AES
    key = add_wrapping_key(store, token, config, suite, rsa_bits=2048, now=NOW + 1)
    _, directory = load_directory(store, config, NOW + 1)
    assert directory.current(KeyRole.WRAPPING, suite) == key
    assert len([e for e in directory.entries if e.key.suite is suite]) == 2


def test_a_key_that_another_key_stated_spoils_the_directory(founded) -> None:
    config, store, token = founded
    mallory = token.generate_key(KeyRole.IDENTITY)
    key = token.generate_key(KeyRole.WRAPPING, OuterSuite.TOKEN_AES)
    state_key(store, token, mallory, config.deployment_id, key, NOW)
    with pytest.raises(DataError) as caught:
        load_directory(store, config, NOW)
    assert caught.value.code == "data.not-authentic"


def test_a_deployments_statements_are_no_other_deployments(founded) -> None:
    config, store, _ = founded
    with pytest.raises(DataError) as caught:
        load_directory(store, replace(config, deployment_id=bytes(16)), NOW)
    assert caught.value.code == "data.not-authentic"


def test_an_unknown_suite_is_named() -> None:
    with pytest.raises(CallerError) as caught:
        outer_suites(["rsa-oaep", "rot13"], MemoryToken())
    assert caught.value.code == "suite.unknown-name"


def test_a_writer_key_is_private_made_once_and_read_as_it_was_made(founded) -> None:
    config, _, _ = founded
    assert read_writer_key(config.writer_key) is None
    with pytest.raises(CallerError) as missing:
        writer_of(config)
    assert missing.value.code == "writer.missing"
    key = create_writer_key(config.writer_key)
    assert config.writer_key.stat().st_mode & 0o777 == 0o600
    read = read_writer_key(config.writer_key)
    assert read is not None
    assert read.public == key.public == writer_of(config).public
    with pytest.raises(CallerError) as twice:
        create_writer_key(config.writer_key)
    assert twice.value.code == "file.exists"
    config.writer_key.write_text("no key")
    with pytest.raises(DataError) as damaged:
        read_writer_key(config.writer_key)
    assert damaged.value.code == "key-file.damaged"


def test_a_configuration_is_written_once(founded, tmp_path: Path) -> None:
    config, _, _ = founded
    write_config(tmp_path / "twinlock.toml", config)
    with pytest.raises(CallerError) as caught:
        write_config(tmp_path / "twinlock.toml", config)
    assert caught.value.code == "file.exists"


WITHOUT_PKCS11 = """
import sys
sys.modules["pkcs11"] = None
import twinlock as tl
with tl.Vault.connect(sys.argv[1]) as vault:
    assert vault.directory.entries
    try:
        vault.token
    except tl.CallerError as error:
        print(error.code)
"""


def test_a_server_without_pkcs11_works_until_it_needs_the_token(tmp_path: Path) -> None:
    draft = draft_config(tmp_path, "pkcs11:token=x?module-path=/nonexistent.so")
    with SqlStore.connect(draft.store_url, create=True) as store:
        config = found_deployment(draft, store, MemoryToken(), suites=[])
    write_config(tmp_path / "twinlock.toml", config)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PKCS11, str(tmp_path / "twinlock.toml")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("token.not-installed\n", 0), done.stderr
