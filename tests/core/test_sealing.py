"""What Sealer seals opens in a second implementation, and what was changed does not."""

from __future__ import annotations

import cbor2
import pytest

from twinlock.core import envelope
from twinlock.core.context import Context
from twinlock.core.envelope import Layout
from twinlock.core.locks import AllTarget
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey
from twinlock.core.primitives import Kem
from twinlock.core.sealing import Sealer
from twinlock.errors import CallerError

from . import reference
from .scenes import (
    CONTEXT,
    DEPLOYMENT,
    ROW_CONTEXT,
    WRITER,
    Stream,
    group,
    keys,
    rsa_key,
    sealer,
    spki,
)

SUITES = list(OuterSuite)
KEMS = list(Kem)
WARD, EMERGENCY, OFFICER = group("ward"), group("emergency"), group("officer")


def seal_value(plaintext, targets, *, suite=OuterSuite.RSA_OAEP_SHA256, context=CONTEXT):
    head, fields = sealer(suite).seal_fields(
        context, Layout.VALUE, {"diagnosis": plaintext}, targets
    )
    return envelope.encode_value(head, fields["diagnosis"])


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
@pytest.mark.parametrize("kem", KEMS, ids=lambda k: k.name)
def test_a_value_opens_in_the_reference(suite, kem):
    """R-ENV-3, R-OUTER-1, R-OUTER-3, R-OUTER-4, R-KEY-3: a value, with every suite and KEM."""
    ward = group("ward", kem)
    sealed = seal_value(b"I48.0 atrial fibrillation", [ward.target], suite=suite)
    opened = reference.open_value(sealed, CONTEXT, "diagnosis", keys(ward, suite=suite))
    assert opened == b"I48.0 atrial fibrillation"


@pytest.mark.parametrize("size", [0, 1, 16351, 16352, 16353, 32736, 32737, 100_000])
def test_every_boundary_of_segments_opens(size):
    """R-SEG-1, R-SEG-2, R-SEG-3: values around the sizes where a segment begins."""
    plaintext = Stream("plaintext")(size)
    sealed = seal_value(plaintext, [WARD.target])
    assert reference.open_value(sealed, CONTEXT, "diagnosis", keys(WARD)) == plaintext


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_the_columns_of_a_row_share_one_wrapped_dek(suite):
    """R-ENV-4, R-SEG-7: row layout, with columns of several sizes."""
    plain = {"name": b"Weber", "diagnosis": b"", "letter": Stream("letter")(50_000)}
    head, fields = sealer(suite).seal_fields(ROW_CONTEXT, Layout.ROW, plain, [WARD.target])
    cells = {column: envelope.encode_cell(head, field) for column, field in fields.items()}
    assert len({field.prefix for field in fields.values()}) == 3
    opened = reference.open_row(
        envelope.encode_row_head(head), cells, ROW_CONTEXT, keys(WARD, suite=suite)
    )
    assert opened == plain


@pytest.mark.parametrize("kem", KEMS, ids=lambda k: k.name)
def test_any_one_group_of_several_locks_opens(kem):
    """R-LOCK-3, R-LOCK-5: OR."""
    groups = [group(name, kem) for name in ("ward", "emergency", "mailer")]
    sealed = seal_value(b"or", [g.target for g in groups])
    for one in groups:
        assert reference.open_value(sealed, CONTEXT, "diagnosis", keys(one)) == b"or"
    with pytest.raises(reference.RefusedError, match="no lock"):
        reference.open_value(sealed, CONTEXT, "diagnosis", keys(group("stranger", kem)))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_an_and_lock_needs_every_group(count):
    """R-LOCK-4: AND, and no proper subset opens."""
    kems = [KEMS[i % 2] for i in range(count)]
    groups = [group(f"and-{i}", kem) for i, kem in enumerate(kems)]
    sealed = seal_value(b"and", [AllTarget(tuple(g.target for g in groups))])
    assert reference.open_value(sealed, CONTEXT, "diagnosis", keys(*groups)) == b"and"
    for missing in range(count):
        rest = groups[:missing] + groups[missing + 1 :]
        with pytest.raises(reference.RefusedError):
            reference.open_value(sealed, CONTEXT, "diagnosis", keys(*rest))


def test_or_and_and_stand_side_by_side():
    """R-LOCK-5: a record may name one group, or two together."""
    sealed = seal_value(b"x", [EMERGENCY.target, AllTarget((WARD.target, OFFICER.target))])
    for held in ([EMERGENCY], [WARD, OFFICER]):
        assert reference.open_value(sealed, CONTEXT, "diagnosis", keys(*held)) == b"x"
    with pytest.raises(reference.RefusedError):
        reference.open_value(sealed, CONTEXT, "diagnosis", keys(WARD))


def test_the_largest_lock_header_can_be_read_again():
    """R-ENV-7: 16 AND locks of 8 groups with the larger KEM stay under the cap."""
    targets = [
        AllTarget(tuple(group(f"g{i}.{j}", Kem.MLKEM768_X25519).target for j in range(8)))
        for i in range(16)
    ]
    sealed = seal_value(b"x", targets)
    head, _ = envelope.decode_value(sealed)
    assert len(head.header.locks) == 16
    row_head, _ = sealer().seal_fields(ROW_CONTEXT, Layout.ROW, {"a": b""}, targets)
    envelope.decode_row_head(envelope.encode_row_head(row_head))


def test_equal_contents_share_nothing():
    """R-ENV-8: DEK, release key, DEK id, prefix are fresh for every content."""
    one = sealer(seed="a").seal_fields(CONTEXT, Layout.VALUE, {"c": b"same"}, [WARD.target])
    again = sealer(seed="b").seal_fields(CONTEXT, Layout.VALUE, {"c": b"same"}, [WARD.target])
    assert one[0].core.dek_id != again[0].core.dek_id
    assert one[0].header.commitment != again[0].header.commitment
    assert one[1]["c"].ciphertext != again[1]["c"].ciphertext


class TestRandomness:
    """R-ENV-8: what is drawn, and that nothing is drawn twice."""

    def test_a_sealer_draws_fresh_bytes_for_each_content(self):
        drawn: list[bytes] = []
        stream = Stream("watched")

        def watched(size: int) -> bytes:
            drawn.append(stream(size))
            return drawn[-1]

        wrapping = sealer().wrapping
        one = Sealer(WRITER, wrapping, watched)
        one.seal_fields(CONTEXT, Layout.VALUE, {"c": b"same"}, [WARD.target])
        one.seal_fields(CONTEXT, Layout.VALUE, {"c": b"same"}, [WARD.target])
        assert sorted(len(d) for d in drawn) == [7, 7, 16, 16, 32, 32, 32, 32]
        assert len(set(drawn)) == len(drawn)

    def test_a_repeated_prefix_is_drawn_again(self):
        """R-SEG-7: two columns never share a nonce, even when the random source repeats itself."""
        draws = iter([b"1234567", b"1234567", b"7654321"])
        stream = Stream("rest")
        one = Sealer(WRITER, sealer().wrapping, lambda n: next(draws) if n == 7 else stream(n))
        _, fields = one.seal_fields(ROW_CONTEXT, Layout.ROW, {"a": b"", "b": b""}, [WARD.target])
        assert [f.prefix for f in fields.values()] == [b"1234567", b"7654321"]


ELSEWHERE = {
    "another record": {"record": "4712"},
    "another version": {"version": 2},
    "no version": {"version": None},
    "another column": {"column": "name"},
    "the row's scope": {"column": None},
    "another table": {"table": "visitor"},
    "another tenant": {"tenant": "b"},
    "another purpose": {"purpose": "research"},
}


@pytest.mark.parametrize("elsewhere", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_value_that_was_moved_does_not_open(elsewhere):
    """R-CTX-4: every part of the context is bound."""
    sealed = seal_value(b"moved", [WARD.target])
    here = {"table": "patient", "column": "diagnosis", "record": "4711", "version": 3}
    context = Context(**{**here, **elsewhere}).encode(DEPLOYMENT)
    with pytest.raises(reference.RefusedError, match="HPKE"):
        reference.open_value(sealed, context, "diagnosis", keys(WARD))


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
def test_a_cell_does_not_open_as_another_column(suite):
    """R-SEG-3: the column stands in every segment's additional data."""
    head, fields = sealer(suite).seal_fields(
        ROW_CONTEXT, Layout.ROW, {"name": b"Weber", "diagnosis": b"I48"}, [WARD.target]
    )
    held = keys(WARD, suite=suite)
    dek = reference.open_dek(head.core.raw, head.header.raw, head.outer, ROW_CONTEXT, held)
    name = fields["name"]
    with pytest.raises(reference.RefusedError, match="signature"):
        reference.open_content(
            dek, head.core.raw, ROW_CONTEXT, "diagnosis",
            name.prefix, name.ciphertext, name.signature, WRITER.public,
        )  # fmt: skip


@pytest.mark.parametrize("part", ["core", "header", "outer", "prefix", "ciphertext", "signature"])
def test_no_part_of_another_value_fits(part):
    """R-OUTER-2, R-LOCK-7, R-SEG-3, R-SIG-2: the parts of two values cannot be mixed."""
    one, other = (
        cbor2.loads(seal_value(b"one", [WARD.target], context=CONTEXT)[4:]),
        cbor2.loads(seal_other(b"two", [WARD.target])[4:]),
    )
    at = ["core", "header", "outer", "prefix", "ciphertext", "signature"].index(part)
    mixed = b"TWL\x01" + cbor2.dumps([*one[:at], other[at], *one[at + 1 :]], canonical=True)
    with pytest.raises(reference.RefusedError):
        reference.open_value(mixed, CONTEXT, "diagnosis", keys(WARD))


def seal_other(plaintext, targets):
    head, fields = sealer(seed="other").seal_fields(
        CONTEXT, Layout.VALUE, {"diagnosis": plaintext}, targets
    )
    return envelope.encode_value(head, fields["diagnosis"])


REFUSALS = {
    "no group": ([], "lock.targets"),
    "17 groups": ([WARD.target] * 17, "lock.targets"),
}


@pytest.mark.parametrize(("targets", "code"), REFUSALS.values(), ids=REFUSALS)
def test_sealing_to_none_or_too_many_is_refused(targets, code):
    """R-ENV-2: 1 to 16 locks."""
    with pytest.raises(CallerError) as caught:
        seal_value(b"x", targets)
    assert caught.value.code == code


def test_a_value_over_the_cap_is_refused_and_one_under_it_can_be_read():
    """R-ENV-7: what seals can be decoded again."""
    cap = envelope.MAX_VALUE_SIZE - 2 * 16384
    sealed = seal_value(bytes(cap), [WARD.target])
    envelope.decode_value(sealed)
    with pytest.raises(CallerError) as caught:
        seal_value(bytes(cap + 1), [WARD.target])
    assert caught.value.code == "seal.too-large"


def test_the_token_suite_needs_a_token():
    """R-OUTER-4: TOKEN_AES without a token says so."""
    wrapping = TokenKey(KeyRole.WRAPPING, bytes(16), b"", OuterSuite.TOKEN_AES)
    with pytest.raises(CallerError) as caught:
        Sealer(WRITER, wrapping, Stream("x")).seal_fields(
            CONTEXT, Layout.VALUE, {"c": b""}, [WARD.target]
        )
    assert caught.value.code == "seal.token-needed"


def test_a_key_that_does_not_wrap_is_refused():
    """R-STMT-4: only a wrapping key has a suite."""
    log_key = TokenKey(KeyRole.LOG, bytes(16), spki(rsa_key()))
    with pytest.raises(CallerError) as caught:
        Sealer(WRITER, log_key, Stream("x")).seal_fields(
            CONTEXT, Layout.VALUE, {"c": b""}, [WARD.target]
        )
    assert caught.value.code == "seal.key"
