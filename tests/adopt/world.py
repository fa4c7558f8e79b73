"""A deployment on SoftHSM beside an application of the time before it, with rows to adopt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.legacy import ADOPT_TOML, OldApplication, diagnosis_of, make_old_key, notes_of
from tests.server.world import World
from twinlock.adopt.migration import execute, expand
from twinlock.adopt.reading import load_adoption
from twinlock.adopt.run import Outcome, Plan, run_table
from twinlock.adopt.settings import Adoption, Mode
from twinlock.adopt.site import Site, open_site
from twinlock.adopt.states import all_columns
from twinlock.adopt.stored import stored_items
from twinlock.adopt.tables import AppTable
from twinlock.core.membership import ColumnState
from twinlock.token.pkcs11_token import Pkcs11Token


@dataclass
class Place:
    """A site, the old application on it, and the deployment's members."""

    world: World
    site: Site
    old: OldApplication
    folder: Path

    @property
    def table(self) -> AppTable:
        return self.site.tables[0]

    def sign(self, state: ColumnState = ColumnState.LEGACY) -> None:
        """Have weber sign a state for every column."""
        agent, vault = self.world.weber.agent, self.world.vault
        for table, column in all_columns(self.site.adoption):
            agent.follow(vault.group_bundle(agent.hello()))
            group = vault.group(self.site.adoption.authority)
            vault.append(agent.admin.set_column(group.group_id, table.name, column.name, state))
        agent.follow(vault.group_bundle(agent.hello()))

    def run(self, mode: Mode = Mode.REWRAP, **settings: Any) -> Outcome:
        return run_table(self.site, self.table, Plan(mode=mode, **settings))

    def rows(self, where: str = "1 = 1") -> list[dict[str, Any]]:
        with self.site.database.read() as connection:
            query = text(f"SELECT * FROM patients WHERE {where} ORDER BY id")
            return [dict(row) for row in connection.execute(query).mappings()]

    def execute(self, statement: str, **values: Any) -> None:
        with self.site.database.write() as connection:
            connection.execute(text(statement), values)

    def said(self, rows: Sequence[dict[str, Any]] | None = None) -> dict[int, dict[str, str]]:
        """Open rows with weber's releases, and return what their columns say, by id."""
        rows = self.rows() if rows is None else rows
        items = [(row["id"], item) for row in rows for item in stored_items(self.table, row)]
        if not items:
            return {}
        request = self.world.vault.request([item for _, item in items])
        opened = self.world.vault.open(request, self.world.weber.release(request))
        found: dict[int, dict[str, str]] = {}
        for (number, _), record in zip(items, opened, strict=True):
            for column in record.columns or [record.context.column or ""]:
                found.setdefault(number, {})[column] = record.text(column).reveal()
        return found

    def expected(self, rows: Sequence[dict[str, Any]] | None = None) -> dict[int, dict[str, str]]:
        """What the columns must say, by the revisions that the rows have now."""
        rows = self.rows() if rows is None else rows
        return {
            row["id"]: {
                "diagnosis": diagnosis_of(row["id"], row["revision"]),
                "notes": notes_of(row["id"], row["revision"]),
            }
            for row in rows
        }


def write_adopt_toml(folder: Path, url: str, key_id: bytes) -> Path:
    """Write ``adopt.toml`` for the old application's table."""
    path = folder / "adopt.toml"
    path.write_text(
        ADOPT_TOML.format(
            url=url,
            authority="cardiology",
            key_id=key_id.hex(),
            everywhere="emergency",
            first="cardiology",
            second="cardiology",
        )
    )
    return path


def migrate(site: Site) -> None:
    """Add what adoption needs."""
    with site.database.write() as connection:
        up = expand(connection, site.tables, postgresql=site.database.is_postgresql)
        execute(connection, up)


@contextmanager
def place_at(
    world: World,
    folder: Path,
    url: str,
    *,
    rows: int,
    key_id: bytes | None = None,
    unwrap: bool = True,
    migrated: bool = True,
    change: Callable[[str], str] = lambda text: text,
    **old: Any,
) -> Iterator[Place]:
    """Make the old application's database with rows; ``change`` edits ``adopt.toml``.

    ``old`` goes to ``OldApplication``.
    """
    token = world.vault.token
    assert isinstance(token, Pkcs11Token)
    key_id = key_id or os.urandom(6)
    public = make_old_key(token, key_id, unwrap=unwrap)
    (folder / "old-key.pem").write_bytes(public)
    application = OldApplication(url, public, **old)
    application.create_table()
    application.insert(1, rows)
    path = write_adopt_toml(folder, url, key_id)
    # Its own name, since a column's state stands in the log of a group that tests share.
    named = path.read_text().replace('name = "patient"', f'name = "patient-{key_id.hex()}"')
    path.write_text(change(named))
    adoption: Adoption = load_adoption(path)
    if migrated:
        with open_site(adoption, world.vault) as before:
            migrate(before)
    with open_site(adoption, world.vault) as site:
        yield Place(world, site, application, folder)
