"""What a sealed attribute holds, before and after the flush."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests.sqlalchemy.clinic import Chart, Clinic, Patient
from twinlock import CallerError, Context, DataError
from twinlock.integrations.sqlalchemy import Sealed, SealedUseError, error_of
from twinlock.integrations.sqlalchemy.codecs import CODECS, TextCodec, codec_for, encode

VALUES: dict[str, list[Any]] = {
    "text": ["I48.0 atrial fibrillation", "", "ä𝄞\x00\n"],
    "raw": [b"\x00\xff", b"", bytes(20_000)],
    "number": [0, -1, 10**40],
    "day": [date(1, 1, 1), date(2026, 11, 24)],
    "moment": [
        datetime(2026, 11, 24, 20, 22, 1, 5),
        datetime(2026, 11, 24, 20, 22, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    ],
    "amount": [Decimal("0.10"), Decimal("-1E+400"), Decimal("12.000")],
    "table": [{}, {"a": [1, None, {"ß": True}]}],
    "series": [[], [3, 1, 2]],
}
WRONG: dict[str, list[Any]] = {
    "text": [5, b"bytes", ["t"]],
    "raw": ["text", bytearray(b"x")],
    "number": [True, "5", 5.0],
    "day": [datetime(2026, 11, 24), "2026-11-24"],
    "moment": [date(2026, 11, 24)],
    "amount": [1, 0.1],
    "table": [[1], {"a": object()}, {"a": float("nan")}],
    "series": [{}, (1,), [{1, 2}]],
}
STORED: Sealed[str] = Sealed.from_bytes(b"TWL\x01 something")
WAITING: Sealed[str] = Sealed("plaintext")

USES: dict[str, Callable[[Sealed[str]], Any]] = {
    "==": lambda handle: handle == "plaintext",
    "== itself": lambda handle: handle == handle,
    "!=": lambda handle: handle != "plaintext",
    "reversed ==": lambda handle: handle == "plaintext",
    "<": lambda handle: operator.lt(handle, "x"),
    "str": str,
    "bool": bool,
    "hash": hash,
    "format": lambda handle: f"{handle}",
    "len": lambda handle: len(handle),  # type: ignore[arg-type]
    "iteration": lambda handle: list(handle),  # type: ignore[call-overload]
    "in": lambda handle: "p" in handle,  # type: ignore[operator]
    "index": lambda handle: handle[0],  # type: ignore[index]
    "+": lambda handle: operator.add(handle, "x"),
    "reversed +": lambda handle: operator.add("x", handle),
    "int": lambda handle: int(handle),  # type: ignore[call-overload]
    "bytes": lambda handle: bytes(handle),  # type: ignore[call-overload]
    "negation": lambda handle: operator.neg(handle),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("handle", [STORED, WAITING], ids=["stored", "waiting"])
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_handle_is_never_taken_for_its_value(
    use: Callable[[Sealed[str]], Any], handle: Sealed[str]
) -> None:
    with pytest.raises(SealedUseError) as refused:
        use(handle)
    assert refused.value.code == "sealed.use"


@pytest.mark.parametrize("handle", [STORED, WAITING], ids=["stored", "waiting"])
def test_a_handle_shows_nothing_in_its_repr(handle: Sealed[str]) -> None:
    assert "something" not in repr(handle)
    assert "plaintext" not in repr(handle)
    assert "plaintext" not in repr([handle])


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in VALUES.items() for value in values]
)
def test_a_value_of_each_type_comes_back_equal_and_of_its_type(
    key: str, value: Any, clinic: Clinic
) -> None:
    with clinic.sessions() as session:
        session.add(Chart(id=1, **{key: value}))
        session.commit()
        row = session.get_one(Chart, 1)
        [found] = clinic.read(row, key)
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, Decimal):
        assert str(found) == str(value)


def test_every_type_that_has_a_codec_is_tried_here() -> None:
    assert {type(values[0]) for values in VALUES.values()} == CODECS.keys()


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values]
)
def test_a_value_of_another_type_is_refused_when_it_is_assigned(key: str, value: Any) -> None:
    with pytest.raises(CallerError) as refused:
        Chart(**{key: value})
    assert refused.value.code == "sealed.type"
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize("annotation", [float, set[int], int | str, "unknown"])
def test_a_type_without_a_codec_is_refused(annotation: Any) -> None:
    with pytest.raises(CallerError) as refused:
        codec_for(annotation)
    assert refused.value.code == "sealed.codec"


@pytest.mark.parametrize("annotation", [dict[str, Any], dict, dict[str, int] | None])
def test_parameters_and_none_do_not_matter_to_the_codec(annotation: Any) -> None:
    assert codec_for(annotation) is CODECS[dict]


def test_none_stays_null(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        session.add(Patient(diagnosis=None))
        session.commit()
        patient = session.query(Patient).one()
        assert patient.diagnosis is None
        assert clinic.read(patient, "diagnosis", "notes") == [None, None]
    assert clinic.stored("patient", "diagnosis") == [None]
    assert clinic.stored("patient", "twinlock_dek") == [None]


def test_an_attribute_waits_from_assignment_to_flush_and_is_sealed_then(clinic: Clinic) -> None:
    patient = Patient(diagnosis="I48.0")
    assert repr(patient.diagnosis) == "Sealed(to be sealed)"
    with pytest.raises(SealedUseError):
        patient.diagnosis.to_bytes()
    with clinic.sessions() as session:
        session.add(patient)
        session.flush()
        assert isinstance(patient.diagnosis, Sealed)
        assert repr(patient.diagnosis) == "Sealed(redacted)"
        assert patient.diagnosis.to_bytes().startswith(b"TWC\x01")


def test_an_explicit_handle_waits_like_a_plain_value(clinic: Clinic) -> None:
    with clinic.sessions() as session:
        patient = Patient(diagnosis=Sealed("I48.0"))
        session.add(patient)
        session.commit()
        assert clinic.read(patient, "diagnosis") == ["I48.0"]
    with pytest.raises(CallerError) as refused:
        Patient(diagnosis=Sealed(5))
    assert refused.value.code == "sealed.type"


def test_a_mutable_value_is_sealed_as_it_was_when_assigned(clinic: Clinic) -> None:
    series = [1]
    with clinic.sessions() as session:
        chart = Chart(id=1, series=series)
        series.append(2)
        session.add(chart)
        session.commit()
        assert clinic.read(chart, "series") == [[1]]


def test_what_the_vault_sealed_by_hand_can_be_assigned(clinic: Clinic) -> None:
    context = Context(table="chart", record=7, column="text")
    sealed = clinic.vault.seal("by hand", to=clinic.vault.group("cardiology"), context=context)
    with clinic.sessions() as session:
        chart = Chart(id=7, text=sealed)
        session.add(chart)
        session.commit()
        assert clinic.read(chart, "text") == ["by hand"]


def test_authentic_bytes_of_another_type_are_an_error_that_does_not_show_them(
    clinic: Clinic,
) -> None:
    context = Context(table="chart", record=7, column="number")
    sealed = clinic.vault.seal("four", to=clinic.vault.group("cardiology"), context=context)
    with clinic.sessions() as session:
        chart = Chart(id=7, number=sealed)
        session.add(chart)
        session.commit()
        with clinic.views(chart) as [view]:
            with pytest.raises(DataError) as refused:
                _ = view.number
            assert error_of(view, "number") is None
    assert refused.value.code == "sealed.not-decoded"
    assert refused.value.__context__ is None


def test_a_codec_that_returns_no_bytes_is_refused() -> None:
    codec = TextCodec(str, lambda text: None, str)  # type: ignore[arg-type, return-value]
    with pytest.raises(AttributeError):
        codec.encode("x")

    class Broken:
        def encode(self, value: Any) -> Any:
            return "text"

        def decode(self, data: bytes) -> Any:
            return data

    with pytest.raises(CallerError) as refused:
        encode(Broken(), "C.x", "value")
    assert refused.value.code == "sealed.type"
