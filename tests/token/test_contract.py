"""What every Token does, whatever it is made of (core.ports.Token)."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.token.rigs import AAD, Rig
from twinlock.core.ports import DekOpening, KeyRole, OuterSuite, Part, TokenKey
from twinlock.core.primitives import aes_key_wrap, p256_point, rsa_oaep_encrypt, verify
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError

SUITES = ("rsa", "aes")
_HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


def flipped(value: bytes, position: int) -> bytes:
    changed = bytearray(value)
    changed[position] ^= 0x01
    return bytes(changed)


def with_outer(item: DekOpening, **changes: object) -> DekOpening:
    return dataclasses.replace(item, outer=dataclasses.replace(item.outer, **changes))


def with_part(item: DekOpening, **changes: object) -> DekOpening:
    return dataclasses.replace(item, fields=[[dataclasses.replace(item.fields[0][0], **changes)]])


@pytest.fixture
def unchanged_objects(rig: Rig):
    """The test leaves exactly the objects that it found; the connection has sealed before."""
    if rig.count_objects is None:
        pytest.skip("this token shows no objects")
    rig.seal("aes", [b"x"])
    before = rig.count_objects()
    yield
    assert rig.count_objects() == before


@pytest.mark.parametrize("suite", SUITES)
def test_what_was_sealed_opens(rig: Rig, suite: str) -> None:
    assert rig.open_many([rig.seal(suite, [b"a diagnosis"])]) == [[b"a diagnosis"]]


@pytest.mark.parametrize("suite", SUITES)
def test_one_dek_opens_several_fields_of_several_segments(rig: Rig, suite: str) -> None:
    large = os.urandom(20_000)
    item = rig.seal(suite, [b"one"], [b"two ", b"segments"], [large, b"!"], [b""])
    assert rig.open_many([item]) == [[b"one", b"two segments", large + b"!", b""]]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 65, 200])
def test_any_number_of_records_opens_in_order(rig: Rig, count: int) -> None:
    values = [b"%d" % number for number in range(count)]
    item = rig.seal("aes", [b"x"])
    items = [item] * (count - 3) + [rig.seal("aes", [value]) for value in values[-3:]]
    assert rig.open_many(items) == [[b"x"]] * (count - 3) + [[value] for value in values[-3:]]


TAMPERINGS = {
    "O, first byte": lambda i: with_outer(i, sealed=flipped(i.outer.sealed, 0)),
    "O, middle": lambda i: with_outer(i, sealed=flipped(i.outer.sealed, len(i.outer.sealed) // 2)),
    "O, last byte": lambda i: with_outer(i, sealed=flipped(i.outer.sealed, -1)),
    "O, shorter": lambda i: with_outer(i, sealed=i.outer.sealed[:-1]),
    "O, longer": lambda i: with_outer(i, sealed=i.outer.sealed + b"\x00"),
    "O, empty": lambda i: with_outer(i, sealed=b""),
    "O, zero": lambda i: with_outer(i, sealed=bytes(len(i.outer.sealed))),
    "O, above every modulus": lambda i: with_outer(i, sealed=b"\xff" * len(i.outer.sealed)),
    "binding, first byte": lambda i: with_outer(i, binding=flipped(i.outer.binding, 0)),
    "binding, last byte": lambda i: with_outer(i, binding=flipped(i.outer.binding, -1)),
    "rk, first byte": lambda i: dataclasses.replace(
        i, wrapped_release_key=flipped(i.wrapped_release_key, 0)
    ),
    "rk, last byte": lambda i: dataclasses.replace(
        i, wrapped_release_key=flipped(i.wrapped_release_key, -1)
    ),
    "rk, shorter": lambda i: dataclasses.replace(i, wrapped_release_key=i.wrapped_release_key[:-8]),
    "rk, empty": lambda i: dataclasses.replace(i, wrapped_release_key=b""),
    "nonce": lambda i: with_part(i, nonce=flipped(i.fields[0][0].nonce, 3)),
    "nonce, longer": lambda i: with_part(i, nonce=i.fields[0][0].nonce + b"\x00"),
    "C, first byte": lambda i: with_part(i, ciphertext=flipped(i.fields[0][0].ciphertext, 0)),
    "C, last of the tag": lambda i: with_part(i, ciphertext=flipped(i.fields[0][0].ciphertext, -1)),
    "C, shorter": lambda i: with_part(i, ciphertext=i.fields[0][0].ciphertext[:-1]),
    "C, tag only": lambda i: with_part(i, ciphertext=i.fields[0][0].ciphertext[-16:]),
    "C, less than a tag": lambda i: with_part(i, ciphertext=i.fields[0][0].ciphertext[:5]),
    "C, empty": lambda i: with_part(i, ciphertext=b""),
    "additional data": lambda i: with_part(i, aad=AAD + b"!"),
}


@pytest.mark.usefixtures("unchanged_objects")
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("tampering", sorted(TAMPERINGS))
def test_a_damaged_record_is_refused_and_its_neighbours_open(
    rig: Rig, suite: str, tampering: str
) -> None:
    good = rig.seal(suite, [b"genuine"])
    damaged = TAMPERINGS[tampering](rig.seal(suite, [b"damaged"]))
    before, error, after = rig.open_many([good, damaged, good])
    assert (before, after) == ([b"genuine"], [b"genuine"])
    assert isinstance(error, DataError)
    assert error.code == "data.not-authentic"


@pytest.mark.parametrize("suite", SUITES)
def test_every_byte_of_a_wrapped_release_key_counts(rig: Rig, suite: str) -> None:
    item = rig.seal(suite, [b"x"])
    damaged = [
        dataclasses.replace(item, wrapped_release_key=flipped(item.wrapped_release_key, position))
        for position in range(40)
    ]
    assert {result.code for result in rig.open_many(damaged)} == {"data.not-authentic"}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("part", ["wrapped_release_key", "outer", "fields"])
def test_parts_of_two_records_do_not_mix(rig: Rig, suite: str, part: str) -> None:
    one, other = rig.seal(suite, [b"one"]), rig.seal(suite, [b"other"])
    mixed = dataclasses.replace(one, **{part: getattr(other, part)})
    [result] = rig.open_many([mixed])
    assert result.code == "data.not-authentic"


def test_a_genuine_rsa_block_without_a_binding_is_refused(rig: Rig) -> None:
    item = rig.seal("rsa", [b"x"])
    bare = rsa_oaep_encrypt(rig.wrapping.public, rig.transport.oaep_hash, os.urandom(40))
    [result] = rig.open_many([with_outer(item, sealed=bare)])
    assert result.code == "data.not-authentic"


@pytest.mark.parametrize(
    "change",
    [
        {"wrapping_kid": bytes(16)},
        {"suite": OuterSuite.TOKEN_AES},
        {"suite": OuterSuite.RSA_OAEP_SHA256, "wrapping_kid": b"short"},
    ],
)
def test_a_record_under_a_key_that_is_not_loaded_says_so(rig: Rig, change: dict) -> None:
    good = rig.seal("rsa", [b"genuine"])
    error, opened = rig.open_many([with_outer(rig.seal("rsa", [b"x"]), **change), good])
    assert error.code == "data.wrapping-key-unknown"
    assert opened == [b"genuine"]


def test_the_signing_key_is_no_wrapping_key(rig: Rig) -> None:
    [error] = rig.open_many([with_outer(rig.seal("rsa", [b"x"]), wrapping_kid=rig.signing.kid)])
    assert error.code == "data.wrapping-key-unknown"


@pytest.mark.usefixtures("unchanged_objects")
def test_empty_additional_data_is_a_callers_mistake(rig: Rig) -> None:
    with pytest.raises(CallerError) as caught:
        rig.open_many([with_part(rig.seal("rsa", [b"x"]), aad=b"")])
    assert caught.value.code == "token.aad-missing"


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(lambda rig: flipped(rig.blob, 7), id="damaged"),
        pytest.param(lambda rig: rig.blob[:-1], id="shorter"),
        pytest.param(lambda rig: b"", id="empty"),
        pytest.param(lambda rig: bytes(256), id="zero"),
        pytest.param(lambda rig: b"\xff" * 256, id="above the modulus"),
        pytest.param(
            lambda rig: rsa_oaep_encrypt(rig.wrapping.public, "sha1", bytes(32)), id="other key"
        ),
    ],
)
@pytest.mark.usefixtures("unchanged_objects")
def test_a_session_key_that_does_not_unwrap_is_not_authentic(rig: Rig, blob) -> None:
    with pytest.raises(DataError) as caught, rig.token.opening(rig.transport.kid, blob(rig)):
        pass
    assert caught.value.code == "data.not-authentic"


def test_another_releases_key_opens_nothing(rig: Rig) -> None:
    item = rig.seal("rsa", [b"x"])
    other = rsa_oaep_encrypt(rig.transport.public, rig.transport.oaep_hash, os.urandom(32))
    with rig.token.opening(rig.transport.kid, other) as opening:
        [result] = opening.open_many([item])
    assert isinstance(result, DataError)


@pytest.mark.usefixtures("unchanged_objects")
def test_a_destroyed_transport_key_is_gone(rig: Rig) -> None:
    transport = rig.token.generate_transport_key()
    blob = rsa_oaep_encrypt(transport.public, transport.oaep_hash, bytes(32))
    with rig.token.opening(transport.kid, blob):
        pass
    rig.token.destroy_transport_key(transport.kid)
    with pytest.raises(EnvError) as caught, rig.token.opening(transport.kid, blob):
        pass
    assert (caught.value.code, caught.value.retryable) == ("token.transport-gone", True)
    rig.token.destroy_transport_key(transport.kid)


@pytest.mark.parametrize("bits", [0, 1024, 2047, 16384])
def test_a_transport_key_of_another_size_is_refused(rig: Rig, bits: int) -> None:
    with pytest.raises(CallerError) as caught:
        rig.token.generate_transport_key(rsa_bits=bits)
    assert caught.value.code == "token.rsa-size"


@pytest.mark.usefixtures("unchanged_objects")
@pytest.mark.parametrize("suite", SUITES)
def test_a_value_too_large_to_hold_is_streamed(rig: Rig, suite: str) -> None:
    segments = [os.urandom(16_384) for _ in range(5)]
    item = rig.seal(suite, segments)
    with (
        rig.opening() as opening,
        opening.open_dek(item.wrapped_release_key, item.outer) as dek,
    ):
        assert [dek.decrypt(part) for part in item.fields[0]] == segments
        damaged = item.fields[0][1]
        with pytest.raises(DataError) as caught:
            dek.decrypt(dataclasses.replace(damaged, ciphertext=flipped(damaged.ciphertext, 9)))
        assert caught.value.code == "data.not-authentic"
        assert dek.decrypt(item.fields[0][2]) == segments[2]
    with pytest.raises(CallerError) as ended:
        dek.decrypt(item.fields[0][0])
    assert ended.value.code == "token.opening-ended"


@pytest.mark.usefixtures("unchanged_objects")
def test_streaming_a_record_that_does_not_open_is_refused(rig: Rig) -> None:
    item = rig.seal("rsa", [b"x"])
    with (
        rig.opening() as opening,
        pytest.raises(DataError) as caught,
        opening.open_dek(item.wrapped_release_key, with_outer(item, binding=b"other").outer),
    ):
        pass
    assert caught.value.code == "data.not-authentic"


def test_an_opening_that_has_ended_opens_nothing(rig: Rig) -> None:
    item = rig.seal("rsa", [b"x"])
    with rig.opening() as opening:
        pass
    with pytest.raises(CallerError) as caught:
        opening.open_many([item])
    assert caught.value.code == "token.opening-ended"
    with pytest.raises(CallerError), opening.open_dek(item.wrapped_release_key, item.outer):
        pass


@pytest.mark.usefixtures("unchanged_objects")
def test_an_exception_in_the_callers_block_leaves_no_objects(rig: Rig) -> None:
    """R-TOKEN-4."""
    item = rig.seal("aes", [b"x"])
    with (
        pytest.raises(ZeroDivisionError),
        rig.opening() as opening,
        opening.open_dek(item.wrapped_release_key, item.outer),
    ):
        raise ZeroDivisionError
    with (
        pytest.raises(ZeroDivisionError),
        rig.token.sealing(rig.wrapping_aes.kid, Secret(os.urandom(32)), b"binding"),
    ):
        raise ZeroDivisionError


@pytest.mark.usefixtures("unchanged_objects")
def test_many_threads_each_get_their_own_records(rig: Rig) -> None:
    def one_page(number: int) -> bool:
        value = b"page %d" % number
        items = [rig.seal("aes", [value]) for _ in range(12)]
        damaged = with_outer(items[5], binding=b"another record's")
        results = rig.open_many([*items[:5], damaged, *items[6:]])
        return results[:5] + results[6:] == [[value]] * 11 and isinstance(results[5], DataError)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one_page, range(24)))


def test_signatures_verify_and_have_a_low_s(rig: Rig) -> None:
    for number in range(16):
        message = b"statement %d" % number
        signature = rig.token.sign(rig.signing.kid, message)
        verify(p256_point(rig.signing.public), message, signature)
        assert int.from_bytes(signature[32:], "big") <= _HALF_ORDER


@pytest.mark.parametrize("kid", [bytes(16), b""])
def test_an_unknown_key_does_not_sign(rig: Rig, kid: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        rig.token.sign(kid, b"statement")
    assert caught.value.code == "token.key-not-loaded"


def test_a_wrapping_key_does_not_sign(rig: Rig) -> None:
    with pytest.raises(CallerError) as caught:
        rig.token.sign(rig.wrapping.kid, b"statement")
    assert caught.value.code == "token.key-not-loaded"


def test_only_an_aes_wrapping_key_seals(rig: Rig) -> None:
    with (
        pytest.raises(CallerError) as caught,
        rig.token.sealing(rig.wrapping.kid, Secret(bytes(32)), b"binding"),
    ):
        pass
    assert caught.value.code == "token.key-not-loaded"


@pytest.mark.parametrize(("size", "binding"), [(16, b"binding"), (33, b"binding"), (32, b"")])
def test_sealing_needs_a_whole_release_key_and_a_binding(
    rig: Rig, size: int, binding: bytes
) -> None:
    with (
        pytest.raises(CallerError) as caught,
        rig.token.sealing(rig.wrapping_aes.kid, Secret(bytes(size)), binding),
    ):
        pass
    assert caught.value.code == "token.sealing-arguments"


def test_a_born_dek_encrypts_only_inside_its_block_and_with_additional_data(rig: Rig) -> None:
    with rig.token.sealing(rig.wrapping_aes.kid, Secret(bytes(32)), b"binding") as born:
        with pytest.raises(CallerError) as caught:
            born.encrypt(bytes(12), b"x", b"")
        assert caught.value.code == "token.aad-missing"
    with pytest.raises(CallerError) as ended:
        born.encrypt(bytes(12), b"x", AAD)
    assert ended.value.code == "token.sealing-ended"


def test_two_sealings_share_neither_nonce_nor_dek(rig: Rig) -> None:
    release_key, nonce = Secret(os.urandom(32)), os.urandom(12)
    seen = set()
    for _ in range(2):
        with rig.token.sealing(rig.wrapping_aes.kid, release_key, b"binding") as born:
            seen |= {born.outer[:12], born.encrypt(nonce, b"same", AAD)}
    assert len(seen) == 4


def test_a_dek_sealed_for_one_release_key_needs_it(rig: Rig) -> None:
    right, wrong, nonce = os.urandom(32), os.urandom(32), os.urandom(12)
    with rig.token.sealing(rig.wrapping_aes.kid, Secret(right), b"binding") as born:
        outer = dataclasses.replace(
            rig.seal("aes", [b""]).outer, sealed=born.outer, binding=b"binding"
        )
        fields = [[Part(nonce, born.encrypt(nonce, b"value", AAD), AAD)]]
    opened, refused = rig.open_many(
        [DekOpening(aes_key_wrap(rig.session_key, key), outer, fields) for key in (right, wrong)]
    )
    assert opened == [b"value"]
    assert refused.code == "data.not-authentic"


def test_loading_keys_again_changes_nothing(rig: Rig) -> None:
    rig.token.load_keys([rig.signing, rig.wrapping, rig.wrapping_aes])
    assert rig.open_many([rig.seal("rsa", [b"x"])]) == [[b"x"]]


def test_a_key_that_the_token_lacks_is_missing(rig: Rig) -> None:
    """R-TOKEN-2."""
    with pytest.raises(EnvError) as caught:
        rig.token.load_keys([dataclasses.replace(rig.signing, kid=os.urandom(16))])
    assert caught.value.code == "token.key-missing"


@pytest.mark.parametrize("name", ["signing", "wrapping"])
def test_a_key_with_another_public_part_was_replaced(rig: Rig, name: str) -> None:
    """R-TOKEN-2."""
    key: TokenKey = getattr(rig, name)
    other = rig.token.generate_key(key.role, key.suite, rsa_bits=2048)
    with pytest.raises(EnvError) as caught:
        rig.token.load_keys([dataclasses.replace(key, public=other.public)])
    assert caught.value.code == "token.key-replaced"


@pytest.mark.parametrize(
    ("role", "suite", "code"),
    [
        (KeyRole.WRAPPING, None, "token.role-suite"),
        (KeyRole.IDENTITY, OuterSuite.TOKEN_AES, "token.role-suite"),
        (KeyRole.LOG, OuterSuite.RSA_OAEP_SHA1, "token.role-suite"),
        (KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA1, "token.rsa-size"),
    ],
)
@pytest.mark.usefixtures("unchanged_objects")
def test_a_key_that_makes_no_sense_is_not_made(
    rig: Rig, role: KeyRole, suite: OuterSuite | None, code: str
) -> None:
    with pytest.raises(TwinlockError) as caught:
        rig.token.generate_key(role, suite, rsa_bits=1024)
    assert caught.value.code == code


def test_the_token_says_who_it_is(rig: Rig) -> None:
    assert rig.token.name
    assert rig.token.serial
    assert rig.token.rsa_oaep_suite in (OuterSuite.RSA_OAEP_SHA1, OuterSuite.RSA_OAEP_SHA256)
