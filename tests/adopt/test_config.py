"""What ``adopt.toml`` says, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adopt.configured import KEY, PATIENTS, WHOLE, read
from twinlock.adopt.reading import load_adoption
from twinlock.adopt.settings import Encoding, Source
from twinlock.errors import CallerError


def test_a_whole_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    adoption = read(tmp_path)
    table = adoption.table("patient")
    diagnosis, notes = table.columns

    assert adoption.authority == "cardiology"
    assert adoption.database_url == f"sqlite:///{tmp_path}/app.db"
    assert adoption.keys["records-2021"].cka_id == b"\x0a\x0b"
    assert adoption.keys["records-2021"].oaep_hash == "sha1"
    assert adoption.keys["records-2021"].public == tmp_path / "old.pem"
    assert (table.source, table.target, table.key) == (Source.HSM, "twinlock_dek", ("id",))
    assert diagnosis.legacy == ("diagnosis_ct", "diagnosis_nonce", "diagnosis_tag")
    assert diagnosis.target == "diagnosis_sealed"
    assert (notes.nonce, notes.tag, notes.aad, notes.encoding) == (None, None, None, Encoding.RAW)
    assert table.bound == ("id", "ward")


def test_the_database_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = WHOLE.replace('url = "sqlite:///app.db"', 'url-env = "CLINIC_URL"')
    monkeypatch.setenv("CLINIC_URL", "postgresql://app@db/clinic")
    assert read(tmp_path, text).database_url == "postgresql://app@db/clinic"
    monkeypatch.delenv("CLINIC_URL")
    with pytest.raises(CallerError) as refused:
        read(tmp_path, text)
    assert refused.value.code == "adopt.config"
    assert "line 2" in refused.value.message


def test_a_contracted_table_has_no_dek_any_more(tmp_path: Path) -> None:
    text = WHOLE.replace('legacy-key = "records-2021"', "contracted = true")
    table = read(tmp_path, text).tables[0]
    assert (table.dek, "wrapped_dek" in table.old) == (None, False)


def _with(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new, 1)


def _fernet(setting: str) -> str:
    return f"""
[adopt]
authority = "cardiology"
[[tables]]
table = "letters"
key = "id"
source = "fernet"
groups = "cardiology"
{setting}
[[tables.columns]]
name = "content"
ciphertext = "content"
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[database", "not valid TOML"),
        (_with("authority", "autority"), "line 5"),
        (_with('authority = "cardiology"', ""), "authority is missing"),
        (_with("[adopt]", "[adopts]"), "line 4"),
        (_with('id = "0a0b"', 'id = "0a0"'), "line 8"),
        (_with('id = "0a0b"', ""), "either id"),
        (_with('id = "0a0b"', 'id = "0a0b"\nlabel = "old"'), "either id"),
        (_with('public = "old.pem"', ""), "public is missing"),
        (_with('public = "old.pem"', 'public = "old.pem"\noaep-hash = "md5"'), "line 10"),
        (_with('dek = "wrapped_dek"', ""), "dek is missing"),
        (_with('key = "id"', ""), "key is missing"),
        (_with('groups = ["{ward}", "emergency"]', ""), "groups is missing"),
        (_with('"{ward}"', '"{ward"'), "line 17"),
        (_with('"{ward}"', '["a"]'), "line 17"),
        (_with('"3B" = "cardiology"', '"3B" = 7'), "line 20"),
        (_with('legacy-key = "records-2021"', ""), "either legacy-key"),
        (_with('legacy-key = "records-2021"', 'legacy-key = "other"'), "[legacy-keys.other]"),
        (_with('nonce = "diagnosis_nonce"', 'nonce = ""'), "line 25"),
        (_with('nonce = "diagnosis_nonce"', 'nonnce = "x"'), "line 25"),
        (_with('aad = "patient:{id}:diagnosis"', "aad = 1"), "line 27"),
        (_with('name = "diagnosis"', 'name = "*row"'), "line 23"),
        (_with('name = "diagnosis"', 'name = "e\u0301"'), "line 23"),
        (_with('name = "notes"', 'name = "diagnosis"'), "used twice"),
        (_with('ciphertext = "notes_ct"', 'ciphertext = "notes_ct"\ntarget = "ward"'), "ward"),
        (_with('key = "id"', 'key = "id"\nsource = "fernet"'), "line 26"),
        (_with('key = "id"', 'key = "id"\nsource = "plaintext"'), "plaintext is missing"),
        (_with('key = "id"', 'key = "id"\nencoding = "base32"'), "line 15"),
        (_with('key = "id"', 'key = "id"\nfernet-key-env = "X"'), "fernet"),
        (WHOLE + PATIENTS, "two tables have one name"),
        (WHOLE + PATIENTS.replace('"patient"', '"other"'), "into one column"),
        (_fernet(""), "either fernet-key-file"),
        (_fernet('fernet-key-file = "a"\nfernet-key-env = "A"'), "either fernet-key-file"),
        (f'[adopt]\nauthority = "a"\n{KEY}', "[[tables]]"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(CallerError) as refused:
        read(tmp_path, text)
    assert refused.value.code == "adopt.config"
    assert "adopt.toml" in refused.value.message
    assert says in refused.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError) as refused:
        load_adoption(tmp_path / "adopt.toml")
    assert refused.value.code == "adopt.config-missing"


def test_a_table_and_a_column_are_found_by_their_declared_names(tmp_path: Path) -> None:
    adoption = read(tmp_path)
    assert adoption.table("patient").column("notes").content == "notes_ct"
    for ask, code in (
        (lambda: adoption.table("patients"), "adopt.no-table"),
        (lambda: adoption.table("patient").column("notes_ct"), "adopt.no-column"),
    ):
        with pytest.raises(CallerError) as refused:
            ask()
        assert refused.value.code == code
