"""Rows that no token locked: plaintext, Fernet, and what only the application's own code reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import text

from tests.adopt.configured import read
from tests.adopt.world import Place, migrate
from tests.server.world import World
from twinlock.adopt.database import AppDatabase
from twinlock.adopt.settings import Mode
from twinlock.adopt.site import open_site
from twinlock.adopt.sources import plain_source
from twinlock.errors import CallerError, DataError

OLD, NEW = Fernet.generate_key(), Fernet.generate_key()
SETTINGS = {
    "plaintext": 'source = "plaintext"',
    "fernet": 'source = "fernet"\nfernet-key-file = "fernet.keys"',
    "layout": 'source = "layout"\nlayout = "tests.adopt.legacy_rows:ReversedLayout"',
}
COLUMN = {"plaintext": "plaintext", "fernet": "ciphertext", "layout": "ciphertext"}


def _settings(kind: str, url: str, name: str) -> str:
    return f"""[database]
url = "{url}"
[adopt]
authority = "cardiology"
[[tables]]
table = "patients"
name = "{name}"
key = "id"
groups = "cardiology"
{SETTINGS[kind]}
[[tables.columns]]
name = "diagnosis"
{COLUMN[kind]} = "old"
"""


def _written(kind: str, number: int, said: str) -> Any:
    if kind == "fernet":
        return Fernet(OLD if number % 2 else NEW).encrypt(said.encode()).decode()
    return said[::-1] if kind == "layout" else said


@pytest.fixture(params=list(SETTINGS))
def place(
    request: pytest.FixtureRequest, world: World, app_url: str, tmp_path: Path
) -> Iterator[Place]:
    kind = request.param
    (tmp_path / "fernet.keys").write_bytes(NEW + b"\n" + OLD + b"\n")
    with AppDatabase.connect(app_url) as database, database.write() as connection:
        connection.execute(text("CREATE TABLE patients (id INTEGER PRIMARY KEY, old TEXT)"))
        for number in range(1, 6):
            old = None if number == 5 else _written(kind, number, f"finding {number}")
            connection.execute(
                text("INSERT INTO patients (id, old) VALUES (:id, :old)"),
                {"id": number, "old": old},
            )
    name = f"{kind}-{app_url.partition(':')[0]}"
    adoption = read(tmp_path, _settings(kind, app_url, name))
    with open_site(adoption, world.vault) as site:
        migrate(site)
    with open_site(adoption, world.vault) as site:
        yield Place(world, site, None, tmp_path)  # type: ignore[arg-type]


def test_it_becomes_native(place: Place) -> None:
    place.sign()
    outcome = place.run(Mode.RESEAL)
    assert (outcome.counts.adopted, outcome.left) == (4, 0)
    said = {number: columns["diagnosis"] for number, columns in place.said().items()}
    assert said == {number: f"finding {number}" for number in range(1, 5)}
    assert place.rows("id = 5")[0]["diagnosis_sealed"] is None


def test_it_cannot_be_rewrapped(place: Place) -> None:
    place.sign()
    with pytest.raises(CallerError) as refused:
        place.run(Mode.REWRAP)
    assert refused.value.code == "adopt.mode"


def test_nothing_is_read_before_an_admin_signs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = place.site.adoption.path.read_text().replace('name = "', 'name = "unsigned-', 1)
    adoption = read(place.folder, fresh)
    with open_site(adoption, place.world.vault) as site:
        unsigned = Place(place.world, site, None, place.folder)  # type: ignore[arg-type]
        with pytest.raises(DataError) as refused:
            unsigned.run(Mode.RESEAL)
    assert refused.value.code == "legacy.not-allowed"


def test_what_cannot_be_read_is_left_alone(place: Place) -> None:
    kind = place.site.adoption.tables[0].source.value
    place.execute("UPDATE patients SET old = 'broken' WHERE id = 2")
    place.sign()
    outcome = place.run(Mode.RESEAL)
    codes = {finding.key: finding.code for finding in outcome.findings}
    if kind == "plaintext":
        assert codes == {}
    else:
        expected = {"fernet": "adopt.fernet", "layout": "adopt.layout-failed"}[kind]
        assert (codes, outcome.left) == ({"2": expected}, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "file.missing"), (b"", "adopt.fernet-key"), (b"x", "adopt.fernet-key")],
)
def test_fernet_keys_are_looked_at_before_anything_is_read(
    tmp_path: Path, content: bytes | None, code: str
) -> None:
    if content is not None:
        (tmp_path / "fernet.keys").write_bytes(content)
    table = read(tmp_path, _settings("fernet", "sqlite:///a.db", "t")).tables[0]
    with pytest.raises(CallerError) as refused:
        plain_source(table)
    assert refused.value.code == code


def test_fernet_keys_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_KEYS", f"{NEW.decode()} {OLD.decode()}")
    changed = _settings("fernet", "sqlite:///a.db", "t").replace(
        'fernet-key-file = "fernet.keys"', 'fernet-key-env = "OLD_KEYS"'
    )
    source = plain_source(read(tmp_path, changed).tables[0])
    token = MultiFernet([Fernet(OLD)]).encrypt(b"said")
    assert source({"old": token}) == {"diagnosis": b"said"}


def test_plaintext_is_text_or_bytes(tmp_path: Path) -> None:
    source = plain_source(read(tmp_path, _settings("plaintext", "sqlite:///a.db", "t")).tables[0])
    assert source({"old": "é"}) == {"diagnosis": "é".encode()}
    assert source({"old": b"\xff"}) == {"diagnosis": b"\xff"}
    with pytest.raises(DataError) as refused:
        source({"old": 1.5})
    assert refused.value.code == "adopt.malformed"
