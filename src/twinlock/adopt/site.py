"""Where an adoption takes place: the deployment's vault, and the application's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from twinlock.adopt.database import AppDatabase
from twinlock.adopt.jobs import has_tables
from twinlock.adopt.legacy_keys import legacy_keys
from twinlock.adopt.settings import Adoption
from twinlock.adopt.tables import AppTable, find_table
from twinlock.core.adopting import LegacyKey
from twinlock.errors import CallerError
from twinlock.server.config import Config
from twinlock.server.legacy import LegacySource
from twinlock.server.vault import Vault


@dataclass(frozen=True)
class Site:
    """An open vault and database, and the declared tables as they are now."""

    adoption: Adoption
    vault: Vault
    database: AppDatabase
    tables: Sequence[AppTable]

    @cached_property
    def keys(self) -> Mapping[str, LegacyKey]:
        """The old keys by name. Raises ``file.*`` or CallerError ``adopt.public-key``."""
        return legacy_keys(self.adoption)

    def use_legacy(self, *, allow_host_dek: bool = False) -> None:
        """Tell the vault of the old keys and who signs how long they count.

        Raises CallerError ``group.unknown``.
        """
        authority = self.vault.group(self.adoption.authority)
        self.vault.use_legacy(LegacySource(authority, self.keys, allow_host_dek))

    def table(self, name: str) -> AppTable:
        """Return a table by its declared name. Raises CallerError ``adopt.no-table``."""
        settings = self.adoption.table(name)
        return next(table for table in self.tables if table.settings is settings)

    def require_migrated(self) -> None:
        """Refuse a database without what the migration adds. Raises ``adopt.not-migrated``."""
        for table in self.tables:
            table.require_migrated()
        with self.database.read() as connection:
            if not has_tables(connection):
                raise CallerError(
                    "adopt.not-migrated",
                    "The database has no record of runs yet.",
                    hint="Add it: see `twinlock adopt migration`.",
                )


@contextmanager
def open_site(
    adoption: Adoption, vault: Vault, names: Sequence[str] = (), *, connections: int = 4
) -> Iterator[Site]:
    """Connect to the application's database and look its tables up; ``names``: only these.

    Raises ``store.*`` or CallerError ``adopt.*``.
    """
    wanted = [adoption.table(name) for name in names] or adoption.tables
    url = database_url(adoption, vault.config)
    with AppDatabase.connect(url, connections=connections) as database:
        with database.read() as connection:
            tables = [find_table(connection, settings) for settings in wanted]
        yield Site(adoption, vault, database, tables)


def database_url(adoption: Adoption, config: Config) -> str:
    """Return where the application's rows are: by default in Twinlock's own database."""
    return adoption.database_url or config.store_url
