"""Contexts: canonical bytes, one per value, computed by the reader."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twinlock.core import cbor
from twinlock.core.context import Context, decode_context, record_bytes
from twinlock.errors import CallerError, DataError

from .scenes import DEPLOYMENT

UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

RECORDS = {
    "a number": (4711, "0000000000001267"),
    "zero": (0, "0000000000000000"),
    "the largest number": (2**64 - 1, "ffffffffffffffff"),
    "a UUID": (UUID, "00112233445566778899aabbccddeeff"),
    "text": ("4711", "34373131"),
    "text beyond ASCII": ("Zürich", "5ac3bc72696368"),
    "bytes": (b"\x00\xff", "00ff"),
    "a pair": ((7, "a"), "8248" + "0000000000000007" + "4161"),
    "a pair in a pair": (((1,), b"x"), "824a8148" + "0000000000000001" + "4178"),
}


@pytest.mark.parametrize(("record", "expected"), RECORDS.values(), ids=RECORDS)
def test_a_record_id_has_one_canonical_form(record, expected):
    """R-CTX-2: the bytes of every type of primary key."""
    assert record_bytes(record).hex() == expected


NO_RECORDS = {
    "empty text": "",
    "empty bytes": b"",
    "empty tuple": (),
    "a negative number": -1,
    "2^64": 2**64,
    "true": True,
    "none": None,
    "a float": 1.0,
    "a list": [1],
    "an empty text in a tuple": ("a", ""),
}


@pytest.mark.parametrize("record", NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_is_no_primary_key_is_refused(record):
    """R-CTX-2: no silent conversion."""
    with pytest.raises(CallerError) as caught:
        Context(table="t", column="c", record=record)
    assert caught.value.code == "context.record"


ENCODED = {
    "a value": (
        Context(table="patient", column="diagnosis", record=4711, version=3),
        "88" "6f7477696e6c6f636b2f76312f637478" "50000102030405060708090a0b0c0d0e0f"
        "60" "6770617469656e74" "480000000000001267" "69646961676e6f736973" "60" "03",
    ),
    "a whole row": (
        Context(table="t", record="r"),
        "88" "6f7477696e6c6f636b2f76312f637478" "50000102030405060708090a0b0c0d0e0f"
        "60" "6174" "4172" "642a726f77" "60" "f6",
    ),
    "everything": (
        Context(table="t", column="c", record=b"r", version=0, tenant="nord", purpose="mail"),
        "88" "6f7477696e6c6f636b2f76312f637478" "50000102030405060708090a0b0c0d0e0f"
        "646e6f7264" "6174" "4172" "6163" "646d61696c" "00",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("context", "expected"), ENCODED.values(), ids=ENCODED)
def test_a_context_has_these_bytes(context, expected):
    """R-CTX-1: byte for byte."""
    assert context.encode(DEPLOYMENT).hex() == expected


NAMES = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=3).map(
    lambda s: __import__("unicodedata").normalize("NFC", s)
)
CONTEXTS = st.builds(
    Context,
    table=NAMES,
    column=st.none() | NAMES,
    record=st.integers(0, 3) | st.integers(0, 2**64 - 1),
    version=st.none() | st.integers(0, 3),
    tenant=st.just("") | NAMES,
    purpose=st.just("") | NAMES,
)


@given(CONTEXTS, CONTEXTS, st.binary(min_size=16, max_size=16))
def test_two_contexts_never_have_the_same_bytes(one, other, deployment):
    """R-CTX-7: injective, for record ids of one type."""
    assert (one.encode(deployment) == other.encode(deployment)) == (one == other)


@given(CONTEXTS, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_two_deployments_never_share_a_context(context, one, other):
    """R-CTX-1: the deployment is part of it."""
    assume(one != other)
    assert context.encode(one) != context.encode(other)


@given(CONTEXTS)
def test_an_agent_reads_what_was_encoded(context):
    """R-CTX-1: decoding gives every field back."""
    shown = decode_context(context.encode(DEPLOYMENT))
    assert (shown.deployment_id, shown.tenant, shown.table, shown.purpose, shown.version) == (
        DEPLOYMENT, context.tenant, context.table, context.purpose, context.version,
    )  # fmt: skip
    assert shown.record_id == record_bytes(context.record)
    assert shown.scope == ("*row" if context.column is None else context.column)


DECOMPOSED = "Zu\u0308rich"
REFUSED = {
    "a table that is not NFC": ({"table": DECOMPOSED}, "context.not-nfc"),
    "a column that is not NFC": ({"column": DECOMPOSED}, "context.not-nfc"),
    "a tenant that is not NFC": ({"tenant": DECOMPOSED}, "context.not-nfc"),
    "a purpose that is not NFC": ({"purpose": DECOMPOSED}, "context.not-nfc"),
    "a record that is not NFC": ({"record": DECOMPOSED}, "context.not-nfc"),
    "a lone surrogate in a name": ({"table": "\ud800"}, "context.not-nfc"),
    "a lone surrogate in the record": ({"record": "\udcff"}, "context.not-nfc"),
    "no table": ({"table": ""}, "context.incomplete"),
    "an empty column": ({"column": ""}, "context.incomplete"),
    "the row's scope as a column": ({"column": "*row"}, "context.reserved"),
    "a negative version": ({"version": -1}, "context.version"),
    "a version of 2^63": ({"version": 2**63}, "context.version"),
    "a version of true": ({"version": True}, "context.version"),
    "a version of 1.0": ({"version": 1.0}, "context.version"),
    "a version as text": ({"version": "3"}, "context.version"),
}


@pytest.mark.parametrize(("change", "code"), REFUSED.values(), ids=REFUSED)
def test_a_context_that_readers_would_compute_differently_is_refused(change, code):
    """R-CTX-3, R-CTX-5, R-CTX-6: where it is declared, not when it no longer opens."""
    with pytest.raises(CallerError) as caught:
        Context(**{"table": "t", "column": "c", "record": "r", **change})
    assert caught.value.code == code


def test_a_context_over_the_agents_cap_is_refused_when_sealing():
    """R-CTX-5: what agents refuse to read must not be sealed under."""
    fits = Context(table="t", column="c", record=b"x" * 8148)
    assert len(fits.encode(DEPLOYMENT)) == 8192
    decode_context(fits.encode(DEPLOYMENT))
    with pytest.raises(CallerError) as caught:
        Context(table="t", column="c", record=b"x" * 8149).encode(DEPLOYMENT)
    assert caught.value.code == "context.too-large"


SHOWN = {
    "a number": (4711, "4711"),
    "a UUID": (UUID, str(UUID)),
    "text": ("Zürich 7", "Zürich 7"),
    "bytes": (b"\xff\x00", "ff00"),
    "a tuple": ((1,), "8148" + "0000000000000001"),
    "text that would turn the line around": ("a\u202eb", "61e280ae62"),
    "text with a line break": ("a\nb", "610a62"),
}


@pytest.mark.parametrize(("record", "text"), SHOWN.values(), ids=SHOWN)
def test_a_record_id_is_shown_without_control_characters(record, text):
    """R-CTX-8: what cannot be printed is shown as hex."""
    raw = Context(table="t", column="c", record=record).encode(DEPLOYMENT)
    assert decode_context(raw).record == text


FOREIGN = {
    "another label": (["x", DEPLOYMENT, "", "t", b"r", "c", "", None], "format.version"),
    "a short deployment": (["twinlock/v1/ctx", b"", "", "t", b"r", "c", "", None], None),
    "a table of bytes": (["twinlock/v1/ctx", DEPLOYMENT, "", b"t", b"r", "c", "", None], None),
    "a record of text": (["twinlock/v1/ctx", DEPLOYMENT, "", "t", "r", "c", "", None], None),
    "a version of true": (["twinlock/v1/ctx", DEPLOYMENT, "", "t", b"r", "c", "", True], None),
    "names that are not NFC": (
        ["twinlock/v1/ctx", DEPLOYMENT, "", DECOMPOSED, b"r", "c", "", None], None,
    ),
    "one field too few": (["twinlock/v1/ctx", DEPLOYMENT, "", "t", b"r", "c", ""], None),
    "too large": (["twinlock/v1/ctx", DEPLOYMENT, "", "t", bytes(9000), "c", "", None],
                  "format.too-large"),
}  # fmt: skip


@pytest.mark.parametrize(("items", "code"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_context_is_refused(items, code):
    """R-CTX-1: by the agent, before it shows anything."""
    with pytest.raises(DataError) as caught:
        decode_context(cbor.encode(items))
    assert caught.value.code == (code or "format.malformed")
