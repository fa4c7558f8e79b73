"""Backups of a device key: what is typed is checked, what is opened is that very key."""

from __future__ import annotations

import hmac
import itertools
import os

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from tests.core.printed_plainly import plain_device_key
from twinlock.core import cbor
from twinlock.core.device_key_backup import (
    PRINTED_DEVICE_KEY,
    decode_backup,
    device_key_check,
    read_check,
    seal_backup,
)
from twinlock.core.factors.stretching import MIN_MEMORY_KIB
from twinlock.core.primitives import gcm_seal
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, DataError
from vectors.form import OK, load_all

KEY = Secret(bytes.fromhex("6a1c" * 16))
PRINTED = PRINTED_DEVICE_KEY.write(KEY).reveal()
WORDS = SecretText("seven words")
VECTORS = load_all()


def refused(text: str) -> CallerError:
    with pytest.raises(CallerError) as caught:
        PRINTED_DEVICE_KEY.read(text)
    assert caught.value.code == "device-key.mistyped"
    return caught.value


@given(st.binary(min_size=32, max_size=32))
def test_every_key_is_read_as_it_was_printed(raw: bytes) -> None:
    """R-DEVICE-1: 14 groups of five characters."""
    printed = PRINTED_DEVICE_KEY.write(Secret(raw)).reveal()
    assert [len(group) for group in printed.split("-")] == [5] * 14
    assert PRINTED_DEVICE_KEY.read(printed.lower().replace("-", " ")).reveal() == raw


def test_any_one_wrong_character_is_found_and_its_group_named() -> None:
    """R-DEVICE-2: all 70 places."""
    for at, character in enumerate(PRINTED):
        group = PRINTED[:at].count("-") + 1
        for other in "0AZU!":
            if character != "-" and other != character:
                error = refused(PRINTED[:at] + other + PRINTED[at + 1 :])
                assert f"Group {group} is" in error.message


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(range(14), 2)))
def test_exchanged_groups_are_found_and_named(one: int, other: int) -> None:
    """R-DEVICE-2."""
    groups = PRINTED.split("-")
    groups[one], groups[other] = groups[other], groups[one]
    assert f"Groups {one + 1} and {other + 1} are" in refused("-".join(groups)).message


@pytest.mark.parametrize(
    ("text", "first", "count", "said"),
    [
        ("-".join(PRINTED.split("-")[4:8]), 5, 4, None),
        ("-".join(PRINTED.split("-")[12:]), 13, 2, None),
        ("-".join(PRINTED.split("-")[4:8]), 1, 4, "Groups 1, 2, 3, 4 are"),
        ("-".join(PRINTED.split("-")[4:7]), 5, 4, "15 characters of 20"),
        (PRINTED[24:47] + "0", 5, 4, "Group 8 is"),
    ],
    ids=["second row", "last row", "another row", "short", "long group"],
)
def test_a_row_is_checked_by_itself(text: str, first: int, count: int, said: str | None) -> None:
    """R-DEVICE-2: groups have the numbers that they have on the page."""
    if said is None:
        PRINTED_DEVICE_KEY.check_row(text, first, count)
        return
    with pytest.raises(CallerError) as caught:
        PRINTED_DEVICE_KEY.check_row(text, first, count)
    assert said in caught.value.message


def test_a_recovery_code_is_no_device_key() -> None:
    """R-DEVICE-2."""
    assert "35 characters of 70" in refused("-".join(PRINTED.split("-")[:7])).message


# --- the check -----------------------------------------------------------------------------------


def test_the_check_follows_from_the_key_by_a_one_way_function_under_its_own_label() -> None:
    """R-DEVICE-3."""
    prk = hmac.digest(bytes(32), KEY.reveal(), "sha256")
    expected = hmac.digest(prk, b"twinlock/v1/device-key-check\x01", "sha256")[:5]
    bits = f"{int.from_bytes(expected, 'big'):040b}"
    letters = [int(bits[at : at + 5], 2) for at in range(0, 40, 5)]
    shown = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[n] for n in letters)
    assert device_key_check(KEY) == f"{shown[:4]}-{shown[4:]}"


def test_keys_have_different_checks() -> None:
    """R-DEVICE-3."""
    assert len({device_key_check(Secret(os.urandom(32))) for _ in range(500)}) == 500


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("7K3M-9QTX", "7K3M-9QTX"),
        (" 7k3m9qtx ", "7K3M-9QTX"),
        ("oil0\u20130lio", "0110-0110"),
        ("", None),
        ("7K3M-9QT", None),
        ("7K3M-9QTXX", None),
        ("7K3M-9QTU", None),
    ],
)
def test_a_check_is_read_as_people_type_it(typed: str, read: str | None) -> None:
    """R-DEVICE-3."""
    if read is not None:
        assert read_check(typed) == read
        return
    with pytest.raises(CallerError) as caught:
        read_check(typed)
    assert caught.value.code == "device-key.check-malformed"


# --- backup files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal_backup(KEY, WORDS, randomness=os.urandom, memory_kib=MIN_MEMORY_KIB)


def test_a_backup_opens_with_its_passphrase_alone(sealed: bytes) -> None:
    """R-DEVICE-4."""
    found = decode_backup(sealed)
    assert found.check == device_key_check(KEY)
    assert found.open(WORDS) == KEY
    with pytest.raises(DataError) as caught:
        found.open(SecretText("seven word"))
    assert caught.value.code == "device-key.backup-wrong"


def _changed(sealed: bytes, at: int) -> bytes:
    return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


@pytest.mark.parametrize("part", ["check", "salt", "nonce", "key", "tag"])
def test_a_changed_backup_does_not_open(sealed: bytes, part: str) -> None:
    """R-DEVICE-4."""
    _, aad, nonce, ciphertext = cbor.decode(sealed)
    _, check, salt, *_ = cbor.decode(aad)
    parts = {"check": check, "salt": salt, "nonce": nonce, "key": ciphertext}
    at = len(sealed) - 1 if part == "tag" else sealed.index(parts[part])
    with pytest.raises(DataError) as caught:
        decode_backup(_changed(sealed, at)).open(WORDS)
    assert caught.value.code == "device-key.backup-wrong"


@pytest.mark.parametrize("size", [0, 1, 40, 100])
def test_a_cut_or_lengthened_backup_is_no_backup(sealed: bytes, size: int) -> None:
    """R-DEVICE-4."""
    for other in (sealed[:size], sealed + bytes(size + 1), bytes(size), sealed * 20):
        with pytest.raises(DataError) as caught:
            decode_backup(other)
        assert caught.value.code == "device-key.backup-damaged"


def test_a_file_that_opens_to_a_key_of_another_check_is_refused(sealed: bytes) -> None:
    """R-DEVICE-3: whoever knows the passphrase cannot put another key under a known check."""
    _, aad, nonce, _ = cbor.decode(sealed)
    key = plain_backup_key("seven words", aad)
    other = gcm_seal(key, nonce, bytes(32), aad)
    forged = cbor.encode(["twinlock/v1/device-key-backup-file", aad, nonce, other])
    assert AESGCM(key).decrypt(nonce, other, aad) == bytes(32)
    with pytest.raises(DataError) as caught:
        decode_backup(forged).open(WORDS)
    assert caught.value.code == "device-key.backup-wrong"


def test_no_part_of_a_key_stands_in_an_error_or_a_repr(sealed: bytes) -> None:
    """R-SECRET-3, R-DEVICE-5."""
    typed = "-".join(["ZZZZZ", *PRINTED.split("-")[1:]])
    shown = repr(refused(typed)) + repr(PRINTED_DEVICE_KEY.write(KEY)) + repr(decode_backup(sealed))
    assert not any(group in shown for group in PRINTED.split("-"))
    assert KEY.reveal().hex() not in shown


# --- a second implementation, from docs/spec.md alone --------------------------------------------


def plain_backup_key(passphrase: str, aad: bytes) -> bytes:
    _, _, salt, memory, iterations, lanes = cbor2.loads(aad)
    costs = {"iterations": iterations, "lanes": lanes, "memory_cost": memory}
    hashed = Argon2id(salt=salt, length=32, **costs).derive(passphrase.encode())
    return hmac.digest(hashed, b"twinlock/v1/device-key-backup\x01", "sha256")


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.operation == "read-device-key"], ids=lambda v: v.name
)
def test_the_second_implementation_reads_the_same_keys(vector) -> None:
    """R-VEC-2, R-DEVICE-1."""
    key = plain_device_key(vector.given["text"])
    assert (key is not None) == (vector.expect == OK)
    assert key is None or vector.output["key"] == key.hex()


@pytest.mark.parametrize(
    "vector",
    [
        v
        for v in VECTORS
        if v.operation == "open-device-key-backup" and v.expect != "device-key.backup-damaged"
    ],
    ids=lambda v: v.name,
)
def test_the_second_implementation_opens_the_same_backups(vector) -> None:
    """R-VEC-2, R-DEVICE-4."""
    _, aad, nonce, sealed = cbor2.loads(bytes.fromhex(vector.given["file"]))
    key = plain_backup_key(vector.given["passphrase"].replace("u\u0308", "ü"), aad)
    if vector.expect == OK:
        assert AESGCM(key).decrypt(nonce, sealed, aad).hex() == vector.output["key"]
    else:
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(nonce, sealed, aad)
