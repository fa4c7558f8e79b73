"""How rows of the old application are read."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.adopt.configured import WHOLE, read
from twinlock.adopt.layout import LegacyLayout, layout_of
from twinlock.core.adopted import LegacyCell
from twinlock.errors import CallerError, DataError

ROW: dict[str, Any] = {
    "id": 4711,
    "ward": "3B",
    "wrapped_dek": b"D" * 256,
    "diagnosis_ct": b"content",
    "diagnosis_nonce": b"n" * 12,
    "diagnosis_tag": b"t" * 16,
    "notes_ct": None,
}
PACKED = """
[adopt]
authority = "cardiology"
[[tables]]
table = "patients"
key = "id"
layout = "tests.adopt.legacy_rows:PackedLayout"
watch = ["packed"]
[[tables.columns]]
name = "diagnosis"
ciphertext = "packed"
"""


def _layout(folder: Path, *changes: tuple[str, str]) -> LegacyLayout:
    text = WHOLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return layout_of(read(folder, text).tables[0])


def test_a_cell_is_put_together_from_its_columns(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    assert layout.cells(ROW) == {
        "diagnosis": LegacyCell(b"n" * 12, b"content" + b"t" * 16, b"patient:4711:diagnosis")
    }
    assert layout.wrapped_dek(ROW) == b"D" * 256
    assert layout.key(ROW) == "records-2021"


def test_a_nonce_may_stand_in_front_and_a_tag_behind(tmp_path: Path) -> None:
    row = {**ROW, "diagnosis_ct": None, "notes_ct": b"N" * 12 + b"content" + b"T" * 16}
    assert _layout(tmp_path).cells(row) == {
        "notes": LegacyCell(b"N" * 12, b"content" + b"T" * 16, b"")
    }


@pytest.mark.parametrize(
    ("encoding", "write"),
    [
        ("base64", lambda raw: base64.b64encode(raw).decode()),
        ("base64", lambda raw: base64.encodebytes(raw)),
        ("hex", lambda raw: raw.hex()),
        ("hex", lambda raw: "\\x" + raw.hex()),
    ],
)
def test_bytes_may_be_written_as_text(tmp_path: Path, encoding: str, write: Any) -> None:
    layout = _layout(tmp_path, ('key = "id"', f'key = "id"\nencoding = "{encoding}"'))
    row = {name: write(value) if isinstance(value, bytes) else value for name, value in ROW.items()}
    assert layout.cells(row) == _layout(tmp_path).cells(ROW)
    assert layout.wrapped_dek(row) == b"D" * 256


@pytest.mark.parametrize(
    "change",
    [
        {"diagnosis_ct": 5},
        {"diagnosis_nonce": None},
        {"diagnosis_ct": "text"},
        {"id": None},
    ],
)
def test_a_row_that_is_not_as_declared_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(DataError) as refused:
        _layout(tmp_path).cells({**ROW, **change})
    assert refused.value.code == "adopt.malformed"


@pytest.mark.parametrize(
    ("ward", "groups"),
    [("3B", ["cardiology", "emergency"]), ("9Z", None), (None, None), ("", None)],
)
def test_a_group_that_is_not_known_is_never_guessed(
    tmp_path: Path, ward: str | None, groups: list[str] | None
) -> None:
    assert _layout(tmp_path).groups({**ROW, "ward": ward}) == groups


def test_a_way_in_may_need_several_groups(tmp_path: Path) -> None:
    layout = _layout(tmp_path, ('"emergency"', '["{ward}", "office"]'))
    assert layout.groups(ROW) == ["cardiology", ("cardiology", "office")]
    assert layout.groups({**ROW, "ward": "9Z"}) is None


def test_without_a_mapping_the_column_names_the_group(tmp_path: Path) -> None:
    layout = _layout(tmp_path, ('[tables.group-names]\n  "3B" = "cardiology"', ""))
    assert layout.groups(ROW) == ["3B", "emergency"]


def test_a_context_is_made_from_the_key_as_it_is_declared(tmp_path: Path) -> None:
    uid = uuid.uuid4()
    extra = ('key = "id"', 'key = ["ward", "id"]\nkey-is-uuid = true\ntenant = "{ward}"')
    layout = _layout(tmp_path, extra, ("groups =", 'version = "revision"\ngroups ='))
    row = {**ROW, "ward": str(uid), "revision": 3}
    context = layout.context(row)
    assert (context.table, context.column, context.version) == ("patient", None, 3)
    assert context.record == (uid, 4711)
    assert context.tenant == str(uid)


def test_a_class_reads_what_settings_cannot_say(tmp_path: Path) -> None:
    layout = layout_of(read(tmp_path, PACKED).tables[0])
    row = {"id": 1, "ward": "3B", "packed": b"\x00\x03DEK" + b"n" * 12 + b"c" * 20}
    assert layout.wrapped_dek(row) == b"DEK"
    assert layout.cells(row) == {"diagnosis": LegacyCell(b"n" * 12, b"c" * 20, b"packed")}
    assert layout.context(row).record == 1
    assert layout.groups({**row, "ward": "closed"}) is None


@pytest.mark.parametrize(
    "name",
    [
        "tests.adopt.nowhere:A",
        "tests.adopt.legacy_rows:Absent",
        "tests.adopt.legacy_rows:NO_LAYOUT",
    ],
)
def test_a_layout_that_cannot_be_loaded_is_refused(tmp_path: Path, name: str) -> None:
    text = PACKED.replace("tests.adopt.legacy_rows:PackedLayout", name)
    with pytest.raises(CallerError) as refused:
        layout_of(read(tmp_path, text).tables[0])
    assert refused.value.code == "adopt.layout"
