"""Device keys in a real keyring, and the keyrings that are none."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import keyring
import keyring.core
import pytest
import secretstorage
from keyring.backend import KeyringBackend
from keyring.backends import SecretService, chainer, fail, null

from tests.core.test_frames import shown as frames
from tests.keyring.desktop import Desktop
from twinlock.core.device_key_backup import device_key_check
from twinlock.core.enrolment import enrol, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.keyfile import encode_key_file
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import TwinlockError
from twinlock.keyring.device_key import KeyringDeviceKey
from twinlock.keyring.entries import keyring_name, write_entry

DEPLOYMENT = b"d" * 16
PLACE = Place(DEPLOYMENT, b"m" * 16, b"e" * 16)


@pytest.fixture
def member() -> bytes:
    return os.urandom(16)


def refused(what: Any, *arguments: Any) -> TwinlockError:
    with pytest.raises(TwinlockError) as caught:
        what(*arguments)
    return caught.value


def entries() -> dict[str, str]:
    """Everything that the keyring has of ours, by user: read past the library."""
    with closing(secretstorage.dbus_init()) as bus:
        items = secretstorage.get_default_collection(bus).search_items({"service": "twinlock"})
        return {i.get_attributes()["username"]: i.get_secret().decode() for i in items}


# --- the factor ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_key_made_in_the_keyring_opens_an_enrolment_in_another_run(member: bytes) -> None:
    """R-DEVICE-6, R-FACTOR-5."""
    made = KeyringDeviceKey.create(DEPLOYMENT, member)
    seed = Secret(b"s" * 32)
    place = {"deployment_id": DEPLOYMENT, "member_id": member, "kem": Kem.DHKEM_P256}
    enrolment = enrol(seed, [made], randomness=os.urandom, **place)
    assert enrolment.kinds == ("device-key",)
    again = KeyringDeviceKey(DEPLOYMENT, member, made.check)
    assert unlock(enrolment, [again]).seed == seed
    other = KeyringDeviceKey.create(DEPLOYMENT, member)
    assert refused(unlock, enrolment, [other]).code == "factor.wrong"


@pytest.mark.usefixtures("here")
def test_entries_are_what_the_specification_says(member: bytes) -> None:
    """R-DEVICE-6: under the service twinlock, a key file's text, and a list of checks."""
    first = KeyringDeviceKey.create(DEPLOYMENT, member, randomness=lambda size: b"1" * size)
    second = KeyringDeviceKey.keep(DEPLOYMENT, member, Secret(b"2" * 32))
    user = f"{DEPLOYMENT.hex()}/{member.hex()}"
    of_member = {name: text for name, text in entries().items() if name.startswith(user)}
    assert of_member == {
        user: f"{first.check}\n{second.check}",
        f"{user}/{first.check}": encode_key_file("device-key", Secret(b"1" * 32)),
        f"{user}/{second.check}": encode_key_file("device-key", Secret(b"2" * 32)),
    }


@pytest.mark.usefixtures("here")
def test_a_key_that_is_kept_twice_is_there_once(member: bytes) -> None:
    """R-DEVICE-6."""
    for _ in range(2):
        KeyringDeviceKey.keep(DEPLOYMENT, member, Secret(b"1" * 32))
    assert len(KeyringDeviceKey.all_of(DEPLOYMENT, member)) == 1


@pytest.mark.usefixtures("here")
def test_of_several_keys_one_is_deleted_and_then_the_last(member: bytes) -> None:
    """R-DEVICE-6: nothing of ours stays."""
    before = entries()
    keys = [KeyringDeviceKey.create(DEPLOYMENT, member) for _ in range(3)]
    KeyringDeviceKey.create(DEPLOYMENT, os.urandom(16)).delete()
    keys[1].delete()
    assert [k.check for k in KeyringDeviceKey.all_of(DEPLOYMENT, member)] == [
        keys[0].check,
        keys[2].check,
    ]
    assert refused(keys[1].export).code == "keyring.missing"
    assert refused(keys[1].delete).code == "keyring.missing"
    parameters = keys[0].new_parameters(os.urandom, PLACE)
    assert len(keys[0].output(parameters, PLACE)) == 32
    for key in (keys[0], keys[2]):
        key.delete()
    assert KeyringDeviceKey.all_of(DEPLOYMENT, member) == []
    assert entries() == before


@pytest.mark.usefixtures("here")
def test_only_an_explicit_verb_takes_the_key_out(member: bytes) -> None:
    """R-DEVICE-7, R-SECRET-3: using the factor gives what an enrolment needs, and not the key."""
    key = Secret(os.urandom(32))
    factor = KeyringDeviceKey.keep(DEPLOYMENT, member, key)
    parameters = factor.new_parameters(os.urandom, PLACE)
    output = factor.output(parameters, PLACE)
    assert output == DeviceKeyFactor(lambda: key).output(parameters, PLACE)
    assert output != key
    kept = repr(factor) + repr(vars(factor))
    assert key.reveal().hex() not in kept
    assert factor.export() == key


def test_no_file_of_the_session_shows_the_key(session: Desktop, here: None, member: bytes) -> None:
    """R-DEVICE-6: the keyring's own file is encrypted, and there is no other."""
    key = KeyringDeviceKey.create(DEPLOYMENT, member).export()
    base = Path(session.env["HOME"]).parent
    files = [path for path in base.rglob("*") if path.is_file()]
    assert any(path.suffix == ".keyring" for path in files)
    body = encode_key_file("device-key", key).splitlines()[1].encode()
    assert not any(body in p.read_bytes() or key.reveal() in p.read_bytes() for p in files)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "é", encode_key_file("device-key", Secret(b"2" * 32)),
     encode_key_file("writer-key", Secret(b"1" * 32))],
    ids=["empty", "nonsense", "not ASCII", "another key", "another kind"],
)  # fmt: skip
def test_an_entry_that_is_not_the_key_is_refused(member: bytes, text: str) -> None:
    """R-DEVICE-6."""
    key = KeyringDeviceKey.keep(DEPLOYMENT, member, Secret(b"1" * 32))
    keyring.set_password("twinlock", f"{DEPLOYMENT.hex()}/{member.hex()}/{key.check}", text)
    assert refused(key.export).code == "keyring.damaged"
    assert refused(key.output, [bytes(16)], PLACE).code == "keyring.damaged"


@pytest.mark.usefixtures("here")
def test_a_list_that_is_none_is_refused_and_a_named_key_is_still_found(member: bytes) -> None:
    """R-DEVICE-6."""
    key = KeyringDeviceKey.create(DEPLOYMENT, member)
    keyring.set_password("twinlock", f"{DEPLOYMENT.hex()}/{member.hex()}", "no list")
    assert refused(KeyringDeviceKey.all_of, DEPLOYMENT, member).code == "keyring.damaged"
    assert device_key_check(key.export()) == key.check


# --- which keyrings are one ----------------------------------------------------------------------


class Plaintext(KeyringBackend):
    """A backend like those that ``keyring`` has for files and does not recommend."""

    priority = 0.5  # type: ignore[assignment]
    kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


class Forgetful(Plaintext):
    """Says that it is good, and keeps nothing."""

    priority = 5  # type: ignore[assignment]

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Broken(Forgetful):
    """Fails, and quotes what it was given."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot keep {password}")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make ``keyring`` use a backend."""

    def choose(backend: KeyringBackend) -> None:
        monkeypatch.setattr(keyring.core, "_keyring_backend", backend)

    return choose


@pytest.mark.parametrize(
    "backend", [fail.Keyring, null.Keyring, Plaintext], ids=["fail", "null", "file"]
)
def test_what_keeps_no_secret_is_no_keyring(chosen: Any, member: bytes, backend: Any) -> None:
    """R-DEVICE-8."""
    chosen(backend())
    for what in (KeyringDeviceKey.create, KeyringDeviceKey.all_of):
        assert refused(what, DEPLOYMENT, member).code == "keyring.no-backend"
    assert Plaintext.kept == {}


@pytest.mark.usefixtures("here")
def test_of_a_chain_only_the_first_is_given_the_key(
    chosen: Any, member: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-DEVICE-8: ``keyring`` chains files behind the real keyring."""
    links: list[KeyringBackend] = [SecretService.Keyring(), Plaintext()]
    monkeypatch.setattr(chainer.ChainerBackend, "backends", links)
    chosen(chainer.ChainerBackend())
    key = KeyringDeviceKey.create(DEPLOYMENT, member)
    assert Plaintext.kept == {}
    user = f"{DEPLOYMENT.hex()}/{member.hex()}/{key.check}"
    key.delete()
    Plaintext.kept["twinlock", user] = encode_key_file("device-key", Secret(b"1" * 32))
    try:
        assert refused(key.export).code == "keyring.missing"
    finally:
        Plaintext.kept.clear()


@pytest.mark.usefixtures("here")
def test_a_chain_of_nothing_is_no_keyring(chosen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-DEVICE-8."""
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [])
    monkeypatch.setattr(chainer.ChainerBackend, "priority", -1)
    chosen(chainer.ChainerBackend())
    assert refused(keyring_name).code == "keyring.no-backend"


def test_a_backend_that_cannot_be_loaded_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-DEVICE-8: one can be named in the environment."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "no.such.Keyring")
    assert refused(keyring_name).code == "keyring.no-backend"


@pytest.mark.parametrize("backend", [Forgetful, Broken])
def test_a_keyring_that_does_not_keep_is_found_out_at_once(
    chosen: Any, member: bytes, backend: Any
) -> None:
    """R-DEVICE-6, R-SECRET-3: what a backend says is not repeated."""
    chosen(backend())
    error = refused(KeyringDeviceKey.create, DEPLOYMENT, member)
    assert error.code == "keyring.failed"
    shown = refused(write_entry, "user", SecretText("CANARY"))
    assert "CANARY" not in f"{shown} {shown!r} {frames(shown)}"
