"""Recovery codes: any slip of a kind that people make is found, and its group is named."""

from __future__ import annotations

import hmac
import itertools
import os

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.core.printed_plainly import plain_recovery_code
from twinlock.core.enrolment import enrol, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.factors.recovery_code import (
    RecoveryCodeFactor,
    new_recovery_code,
    print_recovery_code,
    read_recovery_code,
)
from twinlock.core.primitives import Kem
from twinlock.core.printed import ALPHABET
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from vectors.form import OK, load_all

CODE = Secret(bytes.fromhex("f1ad0c99b8e7452360c4a7715bd0932e"))
PRINTED = print_recovery_code(CODE).reveal()
VECTORS = load_all()


def refused(text: str) -> CallerError:
    with pytest.raises(CallerError) as caught:
        read_recovery_code(text)
    assert caught.value.code == "factor.recovery-mistyped"
    return caught.value


def test_a_code_has_128_random_bits_and_is_drawn_anew() -> None:
    """R-RECOVERY-1."""
    asked: list[int] = []

    def randomness(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    codes = {new_recovery_code(randomness).reveal() for _ in range(50)}
    assert asked == [16] * 50
    assert len(codes) == 50
    assert {tuple(map(len, code.split("-"))) for code in codes} == {(5,) * 7}
    assert set("".join(codes)) <= {*ALPHABET, "-"}


@given(st.binary(min_size=16, max_size=16))
def test_every_code_is_read_as_it_was_printed(raw: bytes) -> None:
    """R-RECOVERY-1."""
    assert read_recovery_code(print_recovery_code(Secret(raw)).reveal()).reveal() == raw


@given(st.binary(min_size=16, max_size=16), st.data())
def test_case_separators_and_letters_that_look_alike_do_not_matter(raw: bytes, data) -> None:
    """R-RECOVERY-2."""
    alike = {"0": "0oO", "1": "1iIlL"}
    typed = ""
    for character in print_recovery_code(Secret(raw)).reveal().replace("-", ""):
        typed += data.draw(st.sampled_from(alike.get(character, character + character.lower())))
        typed += data.draw(st.sampled_from(["", "", "-", " ", "\u2014", "\n", "_", "."]))
    assert read_recovery_code(typed).reveal() == raw


def test_any_one_wrong_character_is_found_and_its_group_named() -> None:
    """R-RECOVERY-3: all 35 places, all 31 others, and what no code has."""
    for at, character in enumerate(PRINTED):
        group = PRINTED[:at].count("-") + 1
        for other in (*ALPHABET, "U", "!", "é", "ſ", "ı", "①"):
            if character != "-" and other != character:
                error = refused(PRINTED[:at] + other + PRINTED[at + 1 :])
                assert f"Group {group} is" in error.message


def test_any_two_exchanged_neighbours_are_found_and_their_groups_named() -> None:
    """R-RECOVERY-3: across a border of groups too."""
    run = PRINTED.replace("-", "")
    tried = 0
    for at in range(34):
        if run[at] != run[at + 1]:
            error = refused(run[:at] + run[at + 1] + run[at] + run[at + 2 :])
            first, second = at // 5 + 1, (at + 1) // 5 + 1
            named = f"Group {first} is" if first == second else f"Groups {first} and {second} are"
            assert named in error.message
            tried += 1
    assert tried > 25


def test_any_two_characters_exchanged_within_a_group_are_found() -> None:
    """R-RECOVERY-3."""
    groups = PRINTED.split("-")
    for number, group in enumerate(groups, 1):
        for one, other in itertools.combinations(range(5), 2):
            if group[one] != group[other]:
                changed = list(group)
                changed[one], changed[other] = changed[other], changed[one]
                typed = [*groups[: number - 1], "".join(changed), *groups[number:]]
                assert f"Group {number} is" in refused("-".join(typed)).message


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(range(7), 2)))
def test_exchanged_groups_are_found_and_named(one: int, other: int) -> None:
    """R-RECOVERY-3."""
    groups = PRINTED.split("-")
    groups[one], groups[other] = groups[other], groups[one]
    assert f"Groups {one + 1} and {other + 1} are" in refused("-".join(groups)).message


@pytest.mark.parametrize("number", range(1, 8))
def test_a_group_that_is_too_short_or_too_long_is_named(number: int) -> None:
    """R-RECOVERY-3."""
    groups = PRINTED.split("-")
    for typed in (groups[number - 1][:-1], groups[number - 1] + "0"):
        changed = [*groups[: number - 1], typed, *groups[number:]]
        assert f"Group {number} is" in refused(" ".join(changed)).message


def test_a_whole_wrong_code_passes_about_never() -> None:
    """R-RECOVERY-3: groups that fit by themselves are held together by 12 bits more."""
    other = print_recovery_code(Secret(bytes(16))).reveal().split("-")
    mixed = [*other[:3], *PRINTED.split("-")[3:]]
    assert "Every group fits" in refused("-".join(mixed)).message


@pytest.mark.parametrize("text", ["", " - ", "0" * 513, "A" * 100_000, PRINTED * 2])
def test_what_is_no_code_at_all_is_refused(text: str) -> None:
    """R-RECOVERY-3."""
    refused(text)


def test_no_part_of_a_code_stands_in_an_error_or_a_repr() -> None:
    """R-SECRET-3, R-RECOVERY-4."""
    factor = RecoveryCodeFactor(lambda: read_recovery_code(PRINTED))
    typed = "-".join(["ZZZZZ", *PRINTED.split("-")[1:]])
    shown = repr(refused(typed)) + repr(factor) + repr(print_recovery_code(CODE))
    assert not any(group in shown for group in [*typed.split("-"), *PRINTED.split("-")])


def test_a_code_opens_alone_and_beside_another_factor() -> None:
    """R-FACTOR-9, R-FACTOR-1."""
    place = {"deployment_id": b"d" * 16, "member_id": b"m" * 16, "kem": Kem.DHKEM_P256}
    seed, code = Secret(b"s" * 32), RecoveryCodeFactor(lambda: CODE)
    device = DeviceKeyFactor(lambda: Secret(b"k" * 32))
    for factors in ([code], [device, code]):
        made = enrol(seed, factors, randomness=os.urandom, **place)
        assert unlock(made, factors).seed == seed
        wrong = [RecoveryCodeFactor(lambda: Secret(bytes(16))), *factors[:-1]]
        with pytest.raises(DataError) as caught:
            unlock(made, wrong)
        assert caught.value.code == "factor.wrong"
    with pytest.raises(CallerError) as missing:
        unlock(made, [code])
    assert missing.value.code == "factor.missing"


def test_the_same_code_gives_another_output_in_each_enrolment() -> None:
    """R-FACTOR-9."""
    factor, place = RecoveryCodeFactor(lambda: CODE), Place(b"d" * 16, b"m" * 16, b"e" * 16)
    first, second = (factor.new_parameters(os.urandom, place) for _ in range(2))
    assert factor.output(first, place) != factor.output(second, place)


# --- a second implementation, from docs/spec.md alone --------------------------------------------


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.operation == "read-recovery-code"], ids=lambda v: v.name
)
def test_the_second_implementation_reads_the_same_codes(vector) -> None:
    """R-VEC-2."""
    code = plain_recovery_code(vector.given["text"])
    assert (code is not None) == (vector.expect == OK)
    assert vector.output == (None if code is None else {"code": code.hex()})


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v.operation == "unlock-recovery-code"], ids=lambda v: v.name
)
def test_the_second_implementation_opens_the_same_enrolments(vector) -> None:
    """R-VEC-2, R-FACTOR-9."""
    _, aad, nonce, sealed = cbor2.loads(bytes.fromhex(vector.given["enrolment"]))
    [[_, parameters]] = cbor2.loads(aad)[5]
    code = plain_recovery_code(vector.given["recovery_code"])
    assert code is not None
    if vector.expect == "format.malformed":
        assert [len(p) for p in parameters] != [16]
        return
    output = hmac.digest(code, b"twinlock/v1/recovery-code" + parameters[0], "sha256")
    prk = hmac.digest(b"", len(output).to_bytes(2, "big") + output, "sha256")
    key = hmac.digest(prk, b"twinlock/v1/enrol\x01", "sha256")
    if vector.expect == OK:
        assert AESGCM(key).decrypt(nonce, sealed, aad)[:32] == bytes(32)
    else:
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(nonce, sealed, aad)
