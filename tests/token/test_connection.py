"""Finding a token, logging in once, losing it, forking: SoftHSM and the operating system."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.token.rigs import PIN, SOFTHSM, Rig, init_softhsm, make_softhsm, rig_for
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import p256_point, verify
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.token.binding import Module, load
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.uri import TokenUri

pytestmark = pytest.mark.usefixtures("softhsm_folder")


@contextmanager
def connected(label: str, **options: object) -> Iterator[Pkcs11Token]:
    token = Pkcs11Token.connect(init_softhsm(label), PIN, **options)
    try:
        yield token
    finally:
        token.close()


@contextmanager
def logins_counted(module: Module) -> Iterator[list[int]]:
    """Every C_Login that reaches the module."""
    functions, sent = module.functions, []
    real = functions["Login"]

    def observed(*arguments: object) -> int:
        sent.append(1)
        return real(*arguments)

    functions._call["Login"] = observed
    try:
        yield sent
    finally:
        functions._call["Login"] = real


def test_a_refused_pin_is_sent_once_in_the_life_of_the_process() -> None:
    """R-TOKEN-5."""
    uri = init_softhsm("pin")
    with logins_counted(load(SOFTHSM)) as sent:
        codes = []
        for _ in range(3):
            with pytest.raises(CallerError) as caught:
                Pkcs11Token.connect(uri, Secret(b"wrong pin"))
            codes.append(caught.value.code)
            assert "wrong pin" not in str(caught.value)
        assert codes == ["token.pin-incorrect", "token.pin-refused", "token.pin-refused"]
        assert len(sent) == 1
        Pkcs11Token.connect(uri, PIN).close()
        assert len(sent) == 2


def test_a_pin_may_be_asked_for(tmp_path: Path) -> None:
    uri = init_softhsm("asked")
    Pkcs11Token.connect(uri, lambda: PIN).close()
    path = tmp_path / "pin"
    path.write_bytes(PIN.reveal())
    path.chmod(0o600)
    Pkcs11Token.connect(f"{uri}&pin-source=file:{path}").close()


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        (f"pkcs11:token=nowhere?module-path={SOFTHSM}", "token.not-found"),
        (f"pkcs11:?module-path={SOFTHSM}", "token.ambiguous"),
        ("pkcs11:token=t?module-path=/nonexistent.so", "token.module-unusable"),
        ("pkcs11:token=t?module-path=/usr/lib/x86_64-linux-gnu/libc.so.6", "token.module-unusable"),
        ("pkcs11:token=t?module-name=nonexistent", "token.module-unknown"),
        ("pkcs11:token=t", "token.module-unknown"),
    ],
)
def test_a_token_that_is_not_there_is_named(uri: str, code: str) -> None:
    init_softhsm("one")
    init_softhsm("two")
    with pytest.raises(TwinlockError) as caught:
        Pkcs11Token.connect(uri, PIN)
    assert caught.value.code == code


def test_serial_and_slot_also_find_a_token() -> None:
    with connected("found") as token:
        for uri in (
            TokenUri(serial=token.serial, module_path=SOFTHSM),
            TokenUri(slot_id=token.info.slot, module_name="softhsm2"),
        ):
            again = Pkcs11Token.connect(uri, PIN)
            assert again.info == token.info
            again.close()


def test_one_configuration_string_per_process() -> None:
    with pytest.raises(CallerError) as caught:
        Pkcs11Token.connect(f"pkcs11:token=t?module-path={SOFTHSM}", PIN, reserved="configdir='x'")
    assert caught.value.code == "token.module-in-use"


@pytest.mark.parametrize(
    ("options", "code"),
    [({"sessions": 0}, "token.sessions"), ({"profile": "none"}, "token.profile-unknown")],
)
def test_options_that_make_no_sense_are_refused(options: dict, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        Pkcs11Token.connect(init_softhsm(f"options {code}"), PIN, **options)
    assert caught.value.code == code


def test_a_profile_may_be_pinned_by_name() -> None:
    with connected("pinned", profile="generic") as token:
        assert token.name == "generic"


def test_closing_one_connection_leaves_the_other_logged_in() -> None:
    uri = init_softhsm("shared")
    one, two = Pkcs11Token.connect(uri, PIN), Pkcs11Token.connect(uri, PIN)
    key = two.generate_key(KeyRole.LOG)
    one.close()
    verify(p256_point(key.public), b"m", two.sign(key.kid, b"m"))
    with pytest.raises(CallerError) as caught:
        one.sign(key.kid, b"m")
    assert caught.value.code == "token.closed"
    two.close()


def test_a_lost_session_is_said_once_and_then_made_anew() -> None:
    with connected("lost") as token:
        rig = rig_for(token)
        item = rig.seal("rsa", [b"x"])
        with token.pool.main() as login:
            token.module.functions.close_session(login.session.handle)
        with pytest.raises(EnvError) as caught:
            token.sign(rig.signing.kid, b"m")
        assert (caught.value.code, caught.value.retryable) == ("token.session-lost", True)
        verify(p256_point(rig.signing.public), b"m", token.sign(rig.signing.kid, b"m"))
        with pytest.raises(EnvError) as gone:
            rig.open_many([item])
        assert gone.value.code == "token.transport-gone"
        token.destroy_transport_key(rig.transport.kid)
        rig.transport = token.generate_transport_key()
        fresh = rig.seal("rsa", [b"x"])
        assert rig.open_many([fresh]) == [[b"x"]]


def test_an_opening_that_finds_its_transport_key_dead_lets_the_pool_recover() -> None:
    with connected("dead") as token:
        rig = rig_for(token)
        with token.pool.main() as login:
            token.module.functions.close_session(login.session.handle)
        with pytest.raises(EnvError) as caught:
            rig.open_many([])
        assert (caught.value.code, caught.value.retryable) == ("token.transport-gone", True)
        rig.transport = token.generate_transport_key()
        assert rig.open_many([rig.seal("rsa", [b"x"])]) == [[b"x"]]


def test_recovery_checks_the_keys_again() -> None:
    with connected("recheck") as token:
        rig = rig_for(token)
        with token.pool.main() as login:
            [private] = login.session.find({0x102: rig.signing.kid, 0x000: 3})
            login.calls.destroy(private)
            token.module.functions.close_session(login.session.handle)
        token.pool.doubt()
        with pytest.raises(EnvError) as caught:
            token.sign(rig.signing.kid, b"m")
        assert caught.value.code == "token.key-missing"


def test_all_sessions_in_use_is_said_instead_of_waiting_for_ever() -> None:
    with connected("busy", sessions=1, wait_seconds=0.01) as token:
        rig = rig_for(token)
        item = rig.seal("rsa", [b"x"])
        with rig.opening() as opening, opening.open_dek(item.wrapped_release_key, item.outer):
            with pytest.raises(EnvError) as caught:
                opening.open_many([item])
            assert (caught.value.code, caught.value.retryable) == ("token.busy", True)
        assert rig.open_many([item]) == [[b"x"]]


@pytest.mark.parametrize("suite", ["rsa", "aes"])
@pytest.mark.parametrize("sessions", [1, 4])
def test_a_record_costs_seven_calls(suite: str, sessions: int) -> None:
    """R-TOKEN-7."""
    with connected(f"calls-{suite}-{sessions}", sessions=sessions) as token:
        rig = rig_for(token)
        items = [rig.seal(suite, [b"x"])] * 64
        before = token.calls
        rig.open_many(items)
        per_batch, per_opening = 2, 3
        assert token.calls - before == 7 * 64 + per_batch * sessions + per_opening


def test_release_keys_die_with_their_batch(softhsm_folder: Path) -> None:
    rig = make_softhsm(softhsm_folder, sessions=1)
    item = rig.seal("aes", [b"x"])
    with rig.opening() as opening:
        before = rig.count_objects()
        opening.open_many([item] * 130)
        assert rig.count_objects() == before
    assert rig.count_objects() == before - 1
    rig.token.close()


FORKING = """
import os, sys
from pathlib import Path
from tests.token.rigs import MAKERS
from twinlock.core.primitives import p256_point, verify
from twinlock.errors import EnvError
from twinlock.token.ck import Cka

rig = MAKERS[sys.argv[1]](Path(sys.argv[2]))
items = [rig.seal("aes", [b"x"])] * 20
assert rig.open_many(items) == [[b"x"]] * 20

def use():
    verify(p256_point(rig.signing.public), b"m", rig.token.sign(rig.signing.kid, b"m"))

holder = rig.token.pool._lock
holder.acquire()
child = os.fork()
if child == 0:
    try:
        use()
        with rig.token.pool.main() as login:
            assert login.session.find({Cka.TOKEN: False}) == [], "the parent's objects are here"
        try:
            rig.open_many(items)
        except EnvError as error:
            assert error.code == "token.transport-gone", error
        else:
            raise SystemExit("a transport key outlived its process")
        rig.transport = rig.token.generate_transport_key()
        assert rig.open_many([rig.seal("rsa", [b"y"])] * 20) == [[b"y"]] * 20
        assert rig.open_many([rig.seal("aes", [b"z"])] * 20) == [[b"z"]] * 20
        rig.token.close()
    except BaseException as error:
        print(repr(error), error, file=sys.stderr)
        os._exit(1)
    os._exit(0)
holder.release()
status = os.waitpid(child, 0)[1]
use()
assert rig.open_many([*items, rig.seal("aes", [b"x"])]) == [[b"x"]] * 21
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("kind", ["softhsm", "nss"])
def test_a_forked_child_logs_in_anew_and_the_parent_goes_on(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, kind, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_two_processes_use_one_token_at_once(softhsm_folder: Path) -> None:
    rig: Rig = make_softhsm(softhsm_folder)
    script = (
        "import sys; from tests.token.rigs import *;"
        f"uri = 'pkcs11:serial={rig.token.serial}?module-path={SOFTHSM}';"
        "token = Pkcs11Token.connect(uri, PIN);"
        "token.load_keys([TokenKey(KeyRole.IDENTITY, bytes.fromhex(sys.argv[1]),"
        " bytes.fromhex(sys.argv[2]))]);"
        "[token.sign(bytes.fromhex(sys.argv[1]), b'm') for _ in range(50)]; token.close()"
    )
    arguments = [rig.signing.kid.hex(), rig.signing.public.hex()]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
    ) as other:
        for _ in range(10):
            assert rig.open_many([rig.seal("rsa", [b"x"])]) == [[b"x"]]
        assert other.communicate(timeout=60)[1] == b""
    assert other.returncode == 0
    rig.token.close()


def test_a_padding_failure_costs_what_a_wrong_binding_costs() -> None:
    """R-TOKEN-3."""
    with connected("equal", sessions=1) as token:
        rig = rig_for(token)
        item = rig.seal("rsa", [b"x"])
        damaged = item.outer.sealed[:-1] + bytes([item.outer.sealed[-1] ^ 1])
        spent = []
        for outer in (
            dataclasses.replace(item.outer, sealed=damaged),
            dataclasses.replace(item.outer, binding=b"another record's"),
        ):
            before = token.calls
            [error] = rig.open_many([dataclasses.replace(item, outer=outer)])
            spent.append((token.calls - before, str(error), str(error.__cause__)))
        assert spent[0] == spent[1]
