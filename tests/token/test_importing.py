"""Release keys that are brought in to seal: under one import key a login, never in the clear."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.token.rigs import PIN, PKCS11, Rig, count_objects
from twinlock.core.secret import Secret
from twinlock.errors import EnvError
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.structures import Template
from twinlock.token.uri import TokenUri

USAGES = [Cka.ENCRYPT, Cka.DECRYPT, Cka.WRAP, Cka.UNWRAP, Cka.SIGN, Cka.VERIFY, Cka.DERIVE]


@pytest.fixture(params=sorted(PKCS11))
def fresh(request: pytest.FixtureRequest, softhsm_folder: Path, nss_folder: Path) -> Iterator[Rig]:
    """A connection that has not sealed yet."""
    made = PKCS11[request.param](nss_folder if request.param == "nss" else softhsm_folder)
    yield made
    made.token.close()


def session_objects(token: Pkcs11Token) -> set[int]:
    with token.pool.main() as login:
        return set(login.session.find({Cka.TOKEN: False}))


def close_main_session(token: Pkcs11Token) -> None:
    with token.pool.main() as login:
        token.module.functions.close_session(login.session.handle)


def seals(rig: Rig) -> bool:
    return rig.open_many([rig.seal("aes", [b"x"])]) == [[b"x"]]


@contextmanager
def created(rig: Rig) -> Iterator[list[int]]:
    """Every C_CreateObject that reaches the module."""
    functions, sent = rig.token.module.functions, []
    real = functions["CreateObject"]

    def observed(*arguments: object) -> int:
        sent.append(1)
        return real(*arguments)

    functions._call["CreateObject"] = observed
    try:
        yield sent
    finally:
        functions._call["CreateObject"] = real


def test_the_first_sealing_makes_one_key_and_no_other_does(fresh: Rig) -> None:
    """R-TOKEN-4."""
    before = session_objects(fresh.token)
    assert seals(fresh)
    first = session_objects(fresh.token)
    assert len(first - before) == 1
    assert before < first
    for _ in range(3):
        assert seals(fresh)
    assert session_objects(fresh.token) == first


def test_threads_that_seal_first_share_one_key(fresh: Rig) -> None:
    before = session_objects(fresh.token)
    with ThreadPoolExecutor(8) as threads:
        items = list(threads.map(lambda _: fresh.seal("aes", [b"x"]), range(16)))
    assert fresh.open_many(items) == [[b"x"]] * 16
    assert len(session_objects(fresh.token) - before) == 1


def test_the_import_key_unwraps_and_nothing_else_and_stays_so(fresh: Rig) -> None:
    """R-TOKEN-1."""
    before = session_objects(fresh.token)
    fresh.seal("aes", [b"x"])
    with fresh.token.pool.main() as login:
        [key] = set(login.session.find({Cka.TOKEN: False})) - before
        read = {kind: login.calls.attribute(key, kind) for kind in USAGES}
        assert [kind for kind in USAGES if read[kind] == b"\x01"] == [Cka.UNWRAP]
        assert login.calls.attribute(key, Cka.VALUE) is None
        assert login.calls.attribute(key, Cka.MODIFIABLE) == b"\x00"


def test_nothing_is_created_from_a_value_to_seal(fresh: Rig) -> None:
    with created(fresh) as sent:
        assert seals(fresh)
        assert sent == []
        with fresh.token.pool.main() as login:
            attributes = {Cka.CLASS: Cko.SECRET_KEY, Cka.KEY_TYPE: Ckk.AES, Cka.VALUE: bytes(32)}
            login.calls.destroy(login.calls.create_object(Template(attributes)))
        assert sent == [1]


def test_closing_ends_the_import_key(fresh: Rig) -> None:
    token, module = fresh.token, fresh.token.module
    uri = TokenUri(slot_id=token.info.slot, module_path=module.path)
    reserved = module.reserved.decode() if module.reserved else None
    other = Pkcs11Token.connect(uri, PIN, reserved=reserved)
    other.load_keys([fresh.wrapping_aes])
    before = count_objects(token)
    with other.sealing(fresh.wrapping_aes.kid, Secret(os.urandom(32)), b"binding"):
        pass
    assert count_objects(token) == before + 1
    other.close()
    assert count_objects(token) == before


def test_a_destroyed_import_key_is_made_anew(fresh: Rig) -> None:
    before = session_objects(fresh.token)
    fresh.seal("aes", [b"x"])
    with fresh.token.pool.main() as login:
        [key] = set(login.session.find({Cka.TOKEN: False})) - before
        login.calls.destroy(key)
    assert seals(fresh)
    assert len(session_objects(fresh.token) - before) == 1


def test_sealing_goes_on_where_only_the_main_session_is_lost(fresh: Rig) -> None:
    fresh.seal("aes", [b"x"])
    token = fresh.token
    with token.pool.holding():  # keeps the process logged in
        close_main_session(token)
        fresh.seal("aes", [b"x"])
    assert len(session_objects(token)) == 1
    fresh.transport = token.generate_transport_key()
    assert seals(fresh)


def test_a_lost_login_is_said_once_and_then_there_is_another_import_key(fresh: Rig) -> None:
    fresh.seal("aes", [b"x"])
    token = fresh.token
    close_main_session(token)
    with pytest.raises(EnvError) as caught:
        fresh.seal("aes", [b"x"])
    assert (caught.value.code, caught.value.retryable) == ("token.session-lost", True)
    fresh.transport = token.generate_transport_key()
    assert seals(fresh)
    assert len(session_objects(token)) == 2
