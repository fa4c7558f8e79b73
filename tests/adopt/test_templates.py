"""Templates over a row's columns."""

from __future__ import annotations

import uuid

import pytest

from twinlock.adopt.templates import parse_template
from twinlock.errors import CallerError, DataError

ROW = {
    "id": 4711,
    "ward": "3B",
    "raw": b"\x0a\xff",
    "uid": uuid.UUID("00000000-0000-0000-0000-0000000000AB"),
    "gone": None,
    "price": 1.5,
    "flag": True,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("fixed", "fixed"),
        ("patient:{id}:diagnosis", "patient:4711:diagnosis"),
        ("{ward}/{ward}", "3B/3B"),
        ("{uid}", "00000000-0000-0000-0000-0000000000ab"),
        ("{uid:hex}", "000000000000000000000000000000ab"),
        ("{raw:hex}", "0aff"),
        ("{{{id}}}", "{4711}"),
        ("{gone}", None),
        ("a{gone}b", None),
    ],
)
def test_a_template_has_one_text_for_a_row(template: str, text: str | None) -> None:
    assert parse_template(template).render(ROW) == text


@pytest.mark.parametrize("template", ["{raw}", "{price}", "{flag}", "{ward:hex}", "{id:hex}"])
def test_a_value_without_one_text_is_refused(template: str) -> None:
    with pytest.raises(DataError) as refused:
        parse_template(template).render(ROW)
    assert refused.value.code == "adopt.no-text"


@pytest.mark.parametrize("template", ["{", "}", "{}", "{a:b:c}", "{id:x}", "a{b{c}d}"])
def test_a_brace_that_encloses_no_column_is_refused(template: str) -> None:
    with pytest.raises(CallerError) as refused:
        parse_template(template)
    assert refused.value.code == "adopt.template"


def test_a_template_tells_which_columns_it_reads() -> None:
    assert parse_template("{b}{{c}}{a:hex}{b}").columns == ("b", "a")
