"""What every token does with the key of an application's old data (core.adopting.Adopting)."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.token.legacy import make_legacy_key, old_part, old_parts, wrap_dek
from tests.token.rigs import PIN, SOFTHSM, Rig, init_softhsm, rig_for
from twinlock.core.adopting import LegacyKey, LegacyOpening, Rewrap
from twinlock.core.ports import DekOpening, DekOrigin, OuterLock, Part
from twinlock.core.primitives import aes_key_wrap
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError
from twinlock.token.binding import load
from twinlock.token.ck import Cka
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.profiles import PROFILES

SUITES = ("rsa", "aes")
BINDING = b"core, context and lock header"


@pytest.fixture(scope="module")
def key(rig: Rig) -> LegacyKey:
    return make_legacy_key(rig.token)


@pytest.fixture(scope="module")
def decrypts_only(rig: Rig) -> LegacyKey:
    return make_legacy_key(rig.token, unwraps=False)


@pytest.fixture
def unchanged_objects(rig: Rig, key: LegacyKey, decrypts_only: LegacyKey):
    """The test leaves exactly the objects that it found; the connection has adopted before."""
    assert rig.count_objects is not None
    rewrapped(rig, key, [task(rig, key)])
    before = rig.count_objects()
    yield
    assert rig.count_objects() == before


def task(
    rig: Rig,
    key: LegacyKey,
    dek: bytes | None = None,
    plaintexts: tuple[bytes, ...] = (b"I48.0",),
    *,
    aad: bytes = b"",
    suite: str = "rsa",
    **changes: object,
) -> Rewrap:
    dek = dek or os.urandom(32)
    wrapping = rig.wrapping if suite == "rsa" else rig.wrapping_aes
    made = Rewrap(
        wrap_dek(key, dek),
        Secret(os.urandom(32)),
        wrapping,
        BINDING,
        old_parts(dek, plaintexts, aad),
    )
    return dataclasses.replace(made, **changes)


def rewrapped(
    rig: Rig, key: LegacyKey, items: list[Rewrap], allow: bool = False
) -> list[bytes | DataError]:
    with rig.token.adopting(key, allow_host_dek=allow) as adopting:
        return adopting.rewrap_many(items)


def opening_of(rig: Rig, item: Rewrap, outer: bytes) -> DekOpening:
    """What a member's release of the rewrapped row gives to the token."""
    assert item.wrapping.suite is not None
    lock = OuterLock(item.wrapping.suite, item.wrapping.kid, outer, item.binding)
    wrapped = aes_key_wrap(rig.session_key, item.release_key.reveal())
    return DekOpening(wrapped, lock, [[part] for part in item.parts])


def codes(results: list[object]) -> list[str]:
    return [result.code if isinstance(result, DataError) else "ok" for result in results]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("aad", [b"", b"patient|4711"], ids=["no-aad", "aad"])
def test_what_was_rewrapped_opens_with_a_release(
    rig: Rig, key: LegacyKey, suite: str, aad: bytes
) -> None:
    """R-ADOPT-3, R-ADOPT-5, R-ADOPT-10: the old ciphertexts as they are, also without aad."""
    plaintexts = (b"I48.0", b"", os.urandom(20_000))
    item = task(rig, key, None, plaintexts, aad=aad, suite=suite)
    [outer] = rewrapped(rig, key, [item])
    assert isinstance(outer, bytes)
    assert rig.open_many([opening_of(rig, item, outer)]) == [list(plaintexts)]


@pytest.mark.parametrize("suite", SUITES)
def test_a_rewrapped_dek_needs_its_release_key_and_its_binding(
    rig: Rig, key: LegacyKey, suite: str
) -> None:
    """R-ADOPT-3, R-OUTER-2."""
    item = task(rig, key, suite=suite)
    [outer] = rewrapped(rig, key, [item])
    assert isinstance(outer, bytes)
    other_rk = dataclasses.replace(item, release_key=Secret(os.urandom(32)))
    moved = dataclasses.replace(item, binding=b"another row")
    results = rig.open_many([opening_of(rig, one, outer) for one in (other_rk, moved, item)])
    assert codes(results) == ["data.not-authentic", "data.not-authentic", "ok"]


@pytest.mark.parametrize("allow", [False, True], ids=["token", "host"])
def test_w_is_what_rfc_3394_says(
    rig: Rig, key: LegacyKey, decrypts_only: LegacyKey, allow: bool
) -> None:
    """R-ADOPT-5, R-OUTER-1: bit for bit the old DEK under the new release key."""
    if not isinstance(rig.token, Pkcs11Token):
        pytest.skip("this token keeps W to itself")
    used, dek = decrypts_only if allow else key, os.urandom(32)
    item = task(rig, used, dek)
    with (
        rig.token.adopting(used, allow_host_dek=allow) as adopting,
        rig.token.pool.working() as work,
    ):
        wrapped = (adopting._wrapped_here if allow else adopting._wrapped)(work, item)
    assert wrapped == aes_key_wrap(item.release_key.reveal(), dek)


@pytest.mark.parametrize("count", [0, 1, 64, 65, 130])
@pytest.mark.usefixtures("unchanged_objects")
def test_any_number_of_rows_is_rewrapped_in_order(rig: Rig, key: LegacyKey, count: int) -> None:
    """R-TOKEN-4: nothing of it stays in the token."""
    dek = os.urandom(32)
    one = task(rig, key, dek, aad=b"x")
    items = [dataclasses.replace(one, release_key=Secret(os.urandom(32))) for _ in range(count)]
    results = rewrapped(rig, key, items)
    assert len(results) == count
    sample = list(zip(items, results, strict=True))[-2:]
    openings = [opening_of(rig, item, outer) for item, outer in sample]
    assert rig.open_many(openings) == [[b"I48.0"]] * len(sample)


def damaged(rig: Rig, key: LegacyKey) -> dict[str, tuple[Rewrap, str]]:
    dek = os.urandom(32)
    good = task(rig, key, dek)
    other = make_other(rig)
    part = good.parts[0]
    flipped = bytes([part.ciphertext[0] ^ 1]) + part.ciphertext[1:]
    return {
        "good": (good, "ok"),
        "blob, a byte": (task(rig, key, wrapped_dek=flip(good.wrapped_dek)), "legacy.dek"),
        "blob, shorter": (task(rig, key, wrapped_dek=good.wrapped_dek[1:]), "legacy.dek"),
        "blob, empty": (task(rig, key, wrapped_dek=b""), "legacy.dek"),
        "blob, above the modulus": (task(rig, key, wrapped_dek=b"\xff" * 256), "legacy.dek"),
        "blob of another key": (task(rig, key, wrapped_dek=wrap_dek(other, dek)), "legacy.dek"),
        "another DEK": (task(rig, key, parts=good.parts), "legacy.content"),
        "content": (task(rig, key, dek, parts=[replaced(part, ciphertext=flipped)]),
                    "legacy.content"),
        "aad": (task(rig, key, dek, parts=[replaced(part, aad=b"x")]), "legacy.content"),
        "second column": (task(rig, key, dek, parts=[part, replaced(part, nonce=bytes(12))]),
                          "legacy.content"),
        "unchecked": (task(rig, key, parts=good.parts, check=False), "ok"),
    }  # fmt: skip


def make_other(rig: Rig) -> LegacyKey:
    return make_legacy_key(rig.token)


def flip(value: bytes) -> bytes:
    return value[:100] + bytes([value[100] ^ 1]) + value[101:]


def replaced(part, **changes):
    return dataclasses.replace(part, **changes)


@pytest.mark.parametrize("allow", [False, True], ids=["token", "host"])
def test_a_damaged_row_is_named_and_its_neighbours_are_rewrapped(
    rig: Rig, key: LegacyKey, decrypts_only: LegacyKey, allow: bool
) -> None:
    """R-ADOPT-6: nothing is signed that did not decrypt, except where that was waived."""
    used = decrypts_only if allow else key
    cases = damaged(rig, used)
    results = rewrapped(rig, used, [item for item, _ in cases.values()], allow)
    assert dict(zip(cases, codes(results), strict=True)) == {
        name: code for name, (_, code) in cases.items()
    }


@pytest.mark.parametrize("size", [16, 24, 33, 64])
@pytest.mark.parametrize("allow", [False, True], ids=["token", "host"])
@pytest.mark.usefixtures("unchanged_objects")
def test_a_dek_that_is_no_aes_256_key_is_not_rewrapped(
    rig: Rig, key: LegacyKey, decrypts_only: LegacyKey, size: int, allow: bool
) -> None:
    """R-ADOPT-5: AES-128 and hexadecimal text are for resealing."""
    used = decrypts_only if allow else key
    item = task(rig, used, wrapped_dek=wrap_dek(used, os.urandom(size)), check=False)
    [result, good] = rewrapped(rig, used, [item, task(rig, used)], allow)
    assert isinstance(result, DataError)
    assert result.code in ("legacy.dek-size", "legacy.dek")
    assert isinstance(good, bytes)


def test_a_key_that_only_decrypts_brings_deks_out_when_that_is_allowed(
    rig: Rig, decrypts_only: LegacyKey
) -> None:
    """R-ADOPT-5: never by itself, and the origin says so."""
    with pytest.raises(CallerError) as caught, rig.token.adopting(decrypts_only):
        pass
    assert caught.value.code == "legacy.no-unwrap"
    item = task(rig, decrypts_only)
    with rig.token.adopting(decrypts_only, allow_host_dek=True) as adopting:
        assert adopting.origin is DekOrigin.HOST
        [outer] = adopting.rewrap_many([item])
    assert isinstance(outer, bytes)
    assert rig.open_many([opening_of(rig, item, outer)]) == [[b"I48.0"]]


def test_a_key_that_unwraps_keeps_deks_inside_though_more_was_allowed(
    rig: Rig, key: LegacyKey
) -> None:
    """R-ADOPT-5."""
    with rig.token.adopting(key, allow_host_dek=True) as adopting:
        assert adopting.origin is DekOrigin.TOKEN


@pytest.mark.parametrize("allow", [False, True], ids=["token", "host"])
@pytest.mark.usefixtures("unchanged_objects")
def test_old_rows_open_with_the_old_key_alone(
    rig: Rig, key: LegacyKey, decrypts_only: LegacyKey, allow: bool
) -> None:
    """R-ADOPT-8: as they did before; a damaged one does not hide its neighbours."""
    used = decrypts_only if allow else key
    dek = os.urandom(32)
    blob = wrap_dek(used, dek)
    good = LegacyOpening(blob, old_parts(dek, [b"one", b""]))
    foreign = LegacyOpening(blob, [old_part(os.urandom(32), b"other")])
    broken = LegacyOpening(flip(blob), good.parts)
    with rig.token.adopting(used, allow_host_dek=allow) as adopting:
        results = adopting.open_many([good, foreign, broken, *[good] * 20])
    assert codes(results) == ["ok", "data.not-authentic", "data.not-authentic", *["ok"] * 20]
    assert results[0] == results[-1] == [b"one", b""]


@pytest.mark.parametrize(
    "options",
    [
        {"oaep_hash": "sha256"},
        {"oaep_hash": "sha256", "mgf_hash": "sha1"},
        {"oaep_hash": "sha1", "oaep_label": b"records"},
        {"oaep_hash": "sha256", "oaep_label": b"records"},
    ],
    ids=["sha256", "sha256-mgf1-sha1", "sha1-label", "sha256-label"],
)
def test_other_paddings_work_or_are_named_as_what_the_token_lacks(
    rig: Rig, options: dict[str, object]
) -> None:
    """R-ADOPT-5: never as damaged rows."""
    key = make_legacy_key(rig.token, **options)
    item = task(rig, key)
    if rig.token.name == "softhsm":
        with pytest.raises(EnvError) as caught:
            rewrapped(rig, key, [item])
        assert caught.value.code == "token.unsupported"
        return
    [outer] = rewrapped(rig, key, [item])
    assert isinstance(outer, bytes)
    wrong = dataclasses.replace(key, oaep_label=b"other")
    assert codes(rewrapped(rig, wrong, [item])) == ["legacy.dek"]


def test_a_key_is_found_by_either_name_and_compared_with_its_public_half(
    rig: Rig, key: LegacyKey
) -> None:
    """R-ADOPT-5: of two keys with one label the one whose public half is given."""
    for named in (
        dataclasses.replace(key, label=None),
        dataclasses.replace(key, cka_id=None),
    ):
        assert codes(rewrapped(rig, named, [task(rig, key)])) == ["ok"]
    twin = make_legacy_key(rig.token, label=key.label)
    for one in (key, twin):
        by_label = dataclasses.replace(one, cka_id=None)
        assert codes(rewrapped(rig, by_label, [task(rig, one)])) == ["ok"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rig: {"cka_id": os.urandom(8)}, "legacy.key-missing"),
        (lambda rig: {"label": "nobody's"}, "legacy.key-missing"),
        (lambda rig: {"public": rig.wrapping.public}, "legacy.key-replaced"),
    ],
    ids=["other-id", "other-label", "other-public-half"],
)
def test_a_key_that_is_not_there_or_another_one_is_not_used(
    rig: Rig, key: LegacyKey, change, code: str
) -> None:
    """R-TOKEN-2."""
    with (
        pytest.raises(EnvError) as caught,
        rig.token.adopting(dataclasses.replace(key, **change(rig))),
    ):
        pass
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cka_id": None, "label": None}, "legacy.key"),
        ({"oaep_hash": "md5"}, "legacy.key"),
        ({"mgf_hash": "sha512"}, "legacy.key"),
        ({"public": b"no key"}, "key.malformed"),
    ],
)
def test_a_legacy_key_that_makes_no_sense_is_not_made(
    rig: Rig, key: LegacyKey, change: dict[str, object], code: str
) -> None:
    """R-ADOPT-5."""
    with pytest.raises(TwinlockError) as caught:
        dataclasses.replace(key, **change)
    assert caught.value.code == code


def test_native_content_without_additional_data_stays_refused(rig: Rig, key: LegacyKey) -> None:
    """R-ADOPT-10: empty additional data is for what was encrypted before."""
    dek = os.urandom(32)
    part = old_part(dek, b"x")
    native = Part(part.nonce, part.ciphertext, b"")
    item = task(rig, key, dek, parts=[part])
    [outer] = rewrapped(rig, key, [item])
    opening = dataclasses.replace(opening_of(rig, item, outer), fields=[[native]])
    with pytest.raises(CallerError) as caught:
        rig.open_many([opening])
    assert caught.value.code == "token.aad-missing"


def test_two_threads_rewrap_their_own_rows(rig: Rig, key: LegacyKey) -> None:
    def one_batch(number: int) -> bool:
        items = [task(rig, key, plaintexts=(b"row %d" % number,)) for _ in range(6)]
        outers = rewrapped(rig, key, items)
        openings = [opening_of(rig, i, o) for i, o in zip(items, outers, strict=True)]
        return rig.open_many(openings) == [[b"row %d" % number]] * 6

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(one_batch, range(8)))


def test_a_row_of_one_column_costs_eight_calls(rig: Rig, key: LegacyKey) -> None:
    """R-TOKEN-8: and two for each started 64 rows."""
    if not isinstance(rig.token, Pkcs11Token):
        pytest.skip("this token counts no calls")
    items = [task(rig, key) for _ in range(64)]
    rewrapped(rig, key, items[:1])
    before = rig.token.calls
    rewrapped(rig, key, items)
    assert rig.token.calls - before == 64 * 8 + 2


def test_an_extractable_dek_can_be_wrapped_and_nothing_else(rig: Rig, key: LegacyKey) -> None:
    """R-ADOPT-5: as strict as the token allows."""
    if not isinstance(rig.token, Pkcs11Token):
        pytest.skip("this token shows no attributes")
    templates, seen = rig.token._templates, []
    usages = (Cka.ENCRYPT, Cka.DECRYPT, Cka.WRAP, Cka.UNWRAP, Cka.SIGN, Cka.DERIVE)
    with rig.token.adopting(key) as adopting, rig.token.pool.working() as work:
        dek = adopting._unwrap(work, wrap_dek(key, os.urandom(32)), templates.legacy_dek)
        seen = [work.attribute(dek, kind) for kind in (*usages, Cka.SENSITIVE, Cka.EXTRACTABLE)]
        value, modifiable = work.attribute(dek, Cka.VALUE), work.attribute(dek, Cka.MODIFIABLE)
    assert seen == [b"\x00"] * len(usages) + [b"\x01", b"\x01"]
    assert value is None
    assert modifiable == b"\x00"


@pytest.mark.parametrize(
    ("marks", "refused"),
    [((b"C_GetFunctionList",), True), ((b"no such text in it",), False), ((), False)],
    ids=["marked", "not-marked", "no-marks"],
)
def test_a_build_that_aborts_without_additional_data_is_known_by_its_file(
    softhsm_folder: Path, marks: tuple[bytes, ...], refused: bool
) -> None:
    """R-ADOPT-10: refused by name, before the token is asked."""
    profile = dataclasses.replace(PROFILES["softhsm"], aad_marks=marks)
    uri = init_softhsm(f"marked {os.urandom(4).hex()}")
    token = Pkcs11Token.connect(uri, PIN, profile=profile)
    try:
        rig, key = rig_for(token), make_legacy_key(token)
        assert codes(rewrapped(rig, key, [task(rig, key, aad=b"x")])) == ["ok"]
        for check in (True, False):
            item = task(rig, key, check=check)
            if refused:
                with pytest.raises(EnvError) as caught:
                    rewrapped(rig, key, [item])
                assert caught.value.code == "legacy.aad-empty"
            else:
                assert codes(rewrapped(rig, key, [item])) == ["ok"]
    finally:
        token.close()


def test_this_softhsm_was_built_without_assertions(softhsm_folder: Path) -> None:
    """R-ADOPT-10: or the tests above would have ended with the process."""
    assert not load(SOFTHSM).holds(PROFILES["softhsm"].aad_marks)
