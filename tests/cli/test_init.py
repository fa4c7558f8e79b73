"""``init``, ``dev``, ``doctor`` and ``token``: making a deployment, and looking at one."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest

from tests.cli.deployment import CANARIES, PASSPHRASE, Cli, Result
from twinlock.core.deployment import parse_deployment_card


@pytest.fixture
def beside(shared: Cli, tmp_path: Path) -> Cli:
    """An empty folder, with the shared deployment's token in reach."""
    softhsm = {"SOFTHSM2_CONF": shared.env["SOFTHSM2_CONF"]}
    return Cli(tmp_path, softhsm)


def _token(shared: Cli) -> tuple[str, Path]:
    config = tomllib.loads(Path(shared.env["TWINLOCK_CONFIG"]).read_text())
    return config["token"]["uri"], Path(shared.env["TWINLOCK_CONFIG"]).parent / "pin"


def _init(cli: Cli, uri: str, *options: object) -> Result:
    return cli.run("init", "--token-uri", uri, "--rsa-bits", 2048, "--json", *options)


def test_init_makes_a_deployment_whose_card_names_its_token(shared: Cli, beside: Cli) -> None:
    uri, pin = _token(shared)
    made = _init(beside, uri, "--pin-file", pin, "--suite", "token-aes", "--suite", "rsa-oaep")
    assert made.code == 0, made
    facts = made.json
    card = parse_deployment_card(facts["card"])
    assert card.deployment_id.hex() == facts["deployment"]
    config = tomllib.loads((beside.folder / "twinlock.toml").read_text())
    assert config["deployment"]["environment"] == "production"
    assert config["suites"] == {"seal": "token-aes", "accept": ["rsa-oaep", "token-aes"]}
    for name in ("twinlock.toml", "writer.key", "store.db"):
        assert stat.S_IMODE((beside.folder / name).stat().st_mode) == 0o600
    assert beside.fine("token", "card")["card"] == facts["card"]
    assert pin.read_text().strip() not in made.out + (beside.folder / "twinlock.toml").read_text()

    again = _init(beside, uri, "--pin-file", pin)
    assert (again.code, again.error) == (2, "config.exists")
    migrated = beside.fine("init", "--migrate")
    assert migrated["schema"]


def test_the_pin_may_come_from_a_variable(shared: Cli, beside: Cli) -> None:
    uri, pin = _token(shared)
    beside.env["HSM_PIN"] = pin.read_text().strip()
    made = _init(beside, uri, "--pin-env", "HSM_PIN", "--development", "--writer", "import")
    assert made.json["writer"]["name"] == "import"
    assert beside.ok("token", "check")["ok"] is True


@pytest.mark.parametrize(
    ("options", "env", "code", "error"),
    [
        (("--pin-env", "WRONG"), {"WRONG": "0000-CANARY"}, 2, "token.pin-incorrect"),
        (("--pin-env", "UNSET"), {}, 2, "pin.missing"),
        (("--pin-file", "absent"), {}, 4, "pin.file-unreadable"),
        ((), {}, 2, "cli.no-terminal"),
        (("--pin-env", "PW", "--suite", "rot13"), {"PW": "x"}, 2, "config.invalid"),
        (("--pin-env", "PW", "--rsa-bits", "512"), {}, 2, "token.rsa-size"),
        (("--pin-env", "PW", "--profile", "abacus"), {}, 2, "token.profile-unknown"),
        (("--pin-env", "PW", "--store", "mysql://x/y"), {}, 2, "store.url-unsupported"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_init_refuses_and_leaves_no_configuration(
    shared: Cli, beside: Cli, options: tuple[str, ...], env: dict[str, str], code: int, error: str
) -> None:
    uri, pin = _token(shared)
    beside.env |= {"PW": pin.read_text().strip(), **env}
    refused = _init(beside, uri, *options)
    assert (refused.code, refused.error) == (code, error)
    assert not (beside.folder / "twinlock.toml").exists()
    assert "CANARY" not in refused.out + refused.err


def test_init_needs_a_token_that_is_there(shared: Cli, beside: Cli) -> None:
    uri, pin = _token(shared)
    assert beside.here("init").error == "init.no-token"
    absent = _init(beside, uri.replace("twinlock-dev", "elsewhere"), "--pin-file", pin)
    assert (absent.code, absent.error) == (2, "token.not-found")
    nowhere = _init(beside, "pkcs11:token=x?module-path=/no/such/module.so", "--pin-file", pin)
    assert nowhere.error == "token.module-unusable"
    assert _init(beside, "http://token").error == "token.uri"


def test_init_needs_a_folder_before_it_makes_keys(shared: Cli, beside: Cli) -> None:
    uri, pin = _token(shared)
    refused = _init(beside, uri, "--pin-file", pin, "--config", "no/such/folder/t.toml")
    assert (refused.code, refused.error) == (4, "file.unwritable")


def test_migrate_makes_no_database(beside: Cli, shared: Cli) -> None:
    text = Path(shared.env["TWINLOCK_CONFIG"]).read_text()
    beside.file("twinlock.toml", text.replace(str(Path(shared.env["TWINLOCK_CONFIG"]).parent), "."))
    refused = beside.here("init", "--migrate")
    assert refused.error == "store.missing"
    assert not (beside.folder / "store.db").exists()


def test_dev_tells_what_to_source_and_keeps_everything_private(shared: Cli) -> None:
    base = Path(shared.env["TWINLOCK_CONFIG"]).parent
    sourced = (base / "env").read_text()
    for name in ("SOFTHSM2_CONF", "TWINLOCK_CONFIG", "TWINLOCK_HOME"):
        assert f"export {name}={shared.env[name]}" in sourced
    for name in ("pin", "twinlock.toml", "writer.key", "members/weber.key", "members/kim.member"):
        assert stat.S_IMODE((base / name).stat().st_mode) == 0o600


def test_dev_replaces_nothing_and_needs_a_passphrase(bare: Cli) -> None:
    (bare.folder / "d").mkdir()
    assert bare.here("dev", "d", "--passphrase-env", "PW", env={"PW": "x"}).error == "file.exists"
    assert bare.here("dev", "e", "--passphrase-env", "UNSET").error == "factor.passphrase-env"
    assert bare.here("dev", "e").error == "cli.no-terminal"
    assert not (bare.folder / "e").exists()


def test_dev_without_softhsm_says_so_and_leaves_nothing(bare: Cli) -> None:
    env = {"PW": PASSPHRASE, "TWINLOCK_SOFTHSM_UTIL": "/bin/false"}
    failed = bare.run("dev", "e", "--passphrase-env", "PW", "--json", env=env)
    assert (failed.code, failed.error) == (4, "softhsm.failed")
    assert not (bare.folder / "e").exists()


def test_a_development_deployment_works_without_sourcing(shared: Cli) -> None:
    config = shared.env["TWINLOCK_CONFIG"]
    alone = Cli(shared.folder)
    assert alone.ok("token", "check", "--config", config)["ok"] is True


def test_doctor_examines_token_and_deployment(shared: Cli) -> None:
    report = shared.ok("doctor")
    assert report["usable"] is True
    assert report["token"]["grade"] == "B"
    checks = {check["name"]: check for check in report["deployment"]}
    assert all(check["ok"] is not False for check in checks.values())
    assert {"store", "token directory", "keys in the token", "group ward"} <= set(checks)
    assert "exactly the records that members release" in checks["live takeover"]["detail"]
    shown = shared.run("doctor")
    assert "Grade B" in shown.out
    assert "live takeover" in shown.out


def test_doctor_examines_a_token_alone(shared: Cli, beside: Cli) -> None:
    uri, pin = _token(shared)
    report = beside.ok("doctor", "--token-uri", uri, "--pin-file", pin)
    assert report["usable"] is True
    assert report["deployment"] == []


def test_doctor_finds_files_that_others_reach(own: Cli) -> None:
    base = Path(own.env["TWINLOCK_CONFIG"]).parent
    (base / "writer.key").chmod(0o644)
    (base / "pins").chmod(0o666)
    report = own.run("doctor", "--json")
    assert report.code == 4
    failed = {c["name"] for c in report.json["deployment"] if c["ok"] is False}
    assert failed == {"writer key", "pins"}


def test_doctor_finds_another_token_under_the_same_name(own: Cli) -> None:
    """The store's directory is of a token whose keys this one does not have."""
    base = Path(own.env["TWINLOCK_CONFIG"]).parent
    other = Cli(own.folder, dict(own.env))
    made = other.run("dev", own.folder / "f", "--passphrase-env", "PW", "--json")
    assert made.code == 0, made
    (base / "softhsm2.conf").write_text((own.folder / "f" / "softhsm2.conf").read_text())
    (base / "pin").write_text((own.folder / "f" / "pin").read_text())
    report = own.run("doctor", "--json")
    assert report.code == 4
    failed = {c["name"]: c["detail"] for c in report.json["deployment"] if c["ok"] is False}
    assert "token.key-missing" in failed["keys in the token"]
    checked = own.run("token", "check", "--json")
    assert checked.code == 4
    assert {key["error"]["code"] for key in checked.json["keys"]} == {"token.key-missing"}


def test_the_token_s_keys_are_listed_and_found(shared: Cli) -> None:
    listed = shared.fine("token", "list")["keys"]
    assert sorted(key["role"] for key in listed) == [
        "audit",
        "identity",
        "log",
        "wrapping",
        "wrapping",
    ]
    checked = shared.ok("token", "check")
    assert checked["ok"] is True
    assert {key["kid"] for key in checked["keys"]} == {key["kid"] for key in listed}


def test_a_further_wrapping_key_seals_from_then_on(own: Cli) -> None:
    before = {key["kid"] for key in own.fine("token", "list")["keys"]}
    added = own.ok("token", "add-key", "--suite", "rsa-oaep", "--rsa-bits", 2048)
    after = {key["kid"] for key in own.fine("token", "list")["keys"]}
    assert after - before == {added["kid"]}
    own.ok("seal", "patients.csv", "--to", "ward", "-o", "p.twl")
    assert bytes.fromhex(added["kid"]) in (own.folder / "p.twl").read_bytes()
    own.ok("open", "p.twl", "--as", "kim", "-o", "p.csv", "--name", "patients.csv")
    assert own.run("token", "add-key", "--suite", "rot13").error == "suite.unknown-name"


def test_a_wrong_pin_is_told_from_a_missing_one(own: Cli) -> None:
    pin = Path(own.env["TWINLOCK_CONFIG"]).parent / "pin"
    pin.write_text("9999-CANARY")
    wrong = own.run("token", "check", "--json")
    assert (wrong.code, wrong.error) == (2, "token.pin-incorrect")
    pin.unlink()
    missing = own.run("token", "check", "--json")
    assert (missing.code, missing.error) == (4, "pin.file-unreadable")
    pin.write_text("9999-CANARY")
    os.chmod(pin, 0o644)
    open_to_others = own.run("token", "check", "--json")
    assert (open_to_others.code, open_to_others.error) == (2, "pin.file-open-to-others")
    for shown in (wrong, missing, open_to_others):
        assert not any(canary in shown.out + shown.err for canary in (*CANARIES, "9999-CANARY"))


def test_a_verifier_key_is_made_stated_and_checked(own: Cli) -> None:
    """R-TOKEN-1."""
    made = own.ok("token", "add-verifier-key")
    assert made["role"] == "verifier"
    listed = own.fine("token", "list")["keys"]
    assert made["kid"] in [key["kid"] for key in listed if key["role"] == "verifier"]
    assert own.ok("token", "check")["ok"] is True
