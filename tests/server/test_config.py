"""``twinlock.toml``: what it must say, what it may not, and that it survives being written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlock import CallerError, EnvError
from twinlock.core.ports import OuterSuite
from twinlock.server.config import (
    DEFAULT_SESSIONS,
    MAX_ATTEMPTS,
    SUITE_NAMES,
    Config,
    HardeningLimits,
    SignInLimits,
    accept_suites,
    load_config,
    render_config,
    with_identity,
)

SMALLEST = f"""
[deployment]
id = "{"11" * 16}"
identity = "{"22" * 32}"
[token]
uri = "pkcs11:token=hospital"
[store]
url = "postgresql://twinlock@db/twinlock"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "twinlock.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_smallest_configuration_is_one_for_production(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SMALLEST))
    assert config == Config(
        folder=tmp_path,
        deployment_id=b"\x11" * 16,
        identity=b"\x22" * 32,
        production=True,
        token_uri="pkcs11:token=hospital",
        token_profile=None,
        token_reserved=None,
        pin_file=None,
        pin_env=None,
        sessions=DEFAULT_SESSIONS,
        store_url="postgresql://twinlock@db/twinlock",
        seal_suite="rsa-oaep",
        accept=SUITE_NAMES["rsa-oaep"],
        writer_name="application",
        writer_key=tmp_path / "writer.key",
        pins=tmp_path / "pins",
    )


def test_what_is_sealed_is_accepted_unless_said_otherwise(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SMALLEST + '[suites]\nseal = "token-aes"\n'))
    assert config.accept == {OuterSuite.TOKEN_AES}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///store.db", "sqlite:///{folder}/store.db"),
        ("sqlite:////var/lib/store.db", "sqlite:////var/lib/store.db"),
        ("sqlite://", "sqlite://"),
        ("postgresql:///twinlock", "postgresql:///twinlock"),
    ],
)
def test_paths_are_relative_to_the_file(
    tmp_path: Path, url: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SMALLEST.replace("postgresql://twinlock@db/twinlock", url)
    text = text.replace("[store]", 'pin-file = "secrets/pin"\n[store]')
    written(tmp_path, text + '[writer]\nkey = "/etc/writer.key"\n[pins]\nfile = "p/pins"\n')
    monkeypatch.chdir(tmp_path.parent)
    config = load_config(Path(tmp_path.name) / "twinlock.toml")
    assert config.store_url == expected.format(folder=tmp_path)
    assert (config.pin_file, config.pins) == (tmp_path / "secrets/pin", tmp_path / "p/pins")
    assert config.writer_key == Path("/etc/writer.key")


REFUSED = {
    "not TOML": "[deployment",
    "not text": None,
    "nothing": "",
    "no deployment": SMALLEST.replace("[deployment]", "[token]").replace("[token]", "", 1),
    "no identity": SMALLEST.replace("identity", "# identity"),
    "a short id": SMALLEST.replace("11" * 16, "11" * 15),
    "a long id": SMALLEST.replace("11" * 16, "11" * 17),
    "an id that is no hexadecimal": SMALLEST.replace("11" * 16, "xy" * 16),
    "an id that is a number": SMALLEST.replace(f'"{"11" * 16}"', "11"),
    "no token address": SMALLEST.replace("uri", "# uri"),
    "a token address that is a list": SMALLEST.replace('"pkcs11:token=hospital"', "[]"),
    "no store address": SMALLEST.replace("url", "# url"),
    "a section of another name": SMALLEST + "[suite]\n",
    "a section that is a value": "suites = 1\n" + SMALLEST,
    "a section that is a list": SMALLEST + "[[suites]]\n",
    "a misspelt key": SMALLEST + '[suites]\naccepts = ["rsa-oaep"]\n',
    "a key of another section": SMALLEST + '[writer]\npin-file = "pin"\n',
    "an unknown suite to seal with": SMALLEST + '[suites]\nseal = "rot13"\n',
    "an unknown suite to accept": SMALLEST + '[suites]\naccept = ["rsa-oaep", "rot13"]\n',
    "no suite to accept": SMALLEST + "[suites]\naccept = []\n",
    "a suite outside of a list": SMALLEST + '[suites]\naccept = "rsa-oaep"\n',
    "a suite that is a number": SMALLEST + "[suites]\naccept = [1]\n",
    "no session": SMALLEST.replace("[store]", "sessions = 0\n[store]"),
    "too many sessions": SMALLEST.replace("[store]", "sessions = 1025\n[store]"),
    "sessions in words": SMALLEST.replace("[store]", 'sessions = "8"\n[store]'),
    "sessions that are a truth": SMALLEST.replace("[store]", "sessions = true\n[store]"),
    "no attempt": SMALLEST + "[hardening]\naccount-per-hour = 0\n",
    "too many attempts": SMALLEST + f"[hardening]\nkey-per-hour = {1 << 20}\n",
    "attempts in words": SMALLEST + '[hardening]\nsource-per-hour = "200"\n',
    "a misspelt limit": SMALLEST + "[hardening]\nper-account = 5\n",
    "no sign-in": SMALLEST + "[sign-in]\naccount-per-hour = 0\n",
    "a misspelt environment": SMALLEST.replace("[token]", 'environment = "prod"\n[token]'),
    "an environment in capitals": SMALLEST.replace(
        "[token]", 'environment = "Production"\n[token]'
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_configuration_that_nobody_could_mean_is_refused(tmp_path: Path, case: str) -> None:
    text = REFUSED[case]
    if text is None:
        (tmp_path / "twinlock.toml").write_bytes(b"\xff\xfe")
    else:
        written(tmp_path, text)
    with pytest.raises(CallerError) as caught:
        load_config(tmp_path / "twinlock.toml")
    assert caught.value.code == "config.invalid"


def test_a_configuration_that_is_missing_or_unreadable_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(CallerError) as missing:
        load_config(tmp_path / "twinlock.toml")
    with pytest.raises(EnvError) as unreadable:
        load_config(tmp_path)
    assert (missing.value.code, unreadable.value.code) == ("config.missing", "config.unreadable")


names = st.text(min_size=1, max_size=40).filter(lambda t: t.isprintable() and "/" not in t)
texts = st.text(max_size=60).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t))


@settings(max_examples=150, deadline=None, database=None)
@given(
    deployment_id=st.binary(min_size=16, max_size=16),
    identity=st.binary(min_size=32, max_size=32),
    production=st.booleans(),
    token_uri=texts,
    token_profile=st.none() | texts,
    token_reserved=st.none() | texts,
    pin_file=st.none() | names,
    pin_env=st.none() | names,
    sessions=st.integers(1, 1024),
    seal_suite=st.sampled_from(sorted(SUITE_NAMES)),
    accept=st.sets(st.sampled_from(sorted(SUITE_NAMES)), min_size=1),
    writer_name=texts,
    hardening=st.builds(
        HardeningLimits,
        account_per_hour=st.integers(1, MAX_ATTEMPTS),
        source_per_hour=st.integers(1, MAX_ATTEMPTS),
        key_per_hour=st.integers(1, MAX_ATTEMPTS),
    )
    | st.just(HardeningLimits()),
    sign_in=st.builds(
        SignInLimits,
        account_per_hour=st.integers(1, MAX_ATTEMPTS),
        source_per_hour=st.integers(1, MAX_ATTEMPTS),
    )
    | st.just(SignInLimits()),
)
def test_a_configuration_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, **values
) -> None:
    folder = tmp_path_factory.mktemp("config")
    pin_file, accept = values.pop("pin_file"), values.pop("accept")
    config = Config(
        folder=folder,
        pin_file=None if pin_file in (None, ".", "..") else folder / pin_file,
        store_url=f"sqlite:///{folder}/store.db",
        accept=accept_suites(sorted(accept)),
        writer_key=folder / "keys" / "writer.key",
        pins=Path("/var/lib/twinlock/pins"),
        **values,
    )
    assert load_config(written(folder, render_config(config))) == config


def test_a_written_configuration_moves_with_its_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    config = load_config(written(first, SMALLEST))
    written(first, render_config(replace(config, pin_file=first / "pin")))
    first.rename(second)
    moved = load_config(second / "twinlock.toml")
    assert moved.writer_key == second / "writer.key"
    assert moved.pin_file == second / "pin"


def test_another_identity_is_pinned_by_replacing_it(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SMALLEST))
    assert with_identity(config, bytes(32)) == replace(config, identity=bytes(32))
