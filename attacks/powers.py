"""What attackers hold: each class is one capability, and an attack gets only those it names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from sqlalchemy import Connection, MetaData, Table, create_engine, text

from attacks.places import Place
from twinlock.core.context import record_bytes
from twinlock.core.ports import KeyRole, OuterSuite, Token, TokenKey, TransportKey
from twinlock.core.primitives import SigningKey, sha256, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.core.statements import (
    KEY_LIFE,
    Directory,
    Statement,
    identity_fingerprint,
    token_key_statement,
    transport_statement,
)
from twinlock.server import setup
from twinlock.server.config import Config
from twinlock.server.records import Sealed, SealedFile, SealedRow, Stored
from twinlock.store.sql import SqlStore

VALUES: Final = "clinic_values"
"""The application's own table for self-contained values: place, sealed."""
ACCOUNTS: Final = "clinic_accounts"
"""The application's own table of who signs in: name, kind of what is kept, value."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the whole database, and of the files beside it."""

    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)


class DatabaseWriter:
    """Reads and writes every table, and the folder of sealed files; keeps old snapshots.

    Whoever has this also calls any public-key function of the package: those are no secret.
    """

    def __init__(self, url: str, files: Path) -> None:
        self._engine = create_engine(url)
        self._files = files
        self._metadata = MetaData()
        with self._engine.begin() as connection:
            kind = "bytea" if connection.dialect.name == "postgresql" else "blob"
            connection.execute(
                text(f"create table {VALUES} (place varchar primary key, sealed {kind} not null)")
            )
            connection.execute(
                text(
                    f"create table {ACCOUNTS} (name varchar not null, kind varchar not null, "
                    f"value {kind} not null, primary key (name, kind))"
                )
            )
        self._metadata.reflect(self._engine)

    def table(self, name: str) -> Table:
        """Return a table, for statements of SQLAlchemy."""
        return self._metadata.tables[name]

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction."""
        with self._engine.begin() as connection:
            yield connection

    def rows(self, name: str, /, **where: object) -> list[dict[str, Any]]:
        """Return a table's rows, those with these values, in the order of the primary key."""
        table = self.table(name)
        query = table.select().filter_by(**where).order_by(*table.primary_key.columns)
        with self._engine.begin() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def update(self, name: str, where: Mapping[str, object], /, **values: object) -> None:
        """Change rows. They must exist: an attack that changes nothing proves nothing."""
        statement = self.table(name).update().filter_by(**where).values(**values)
        with self._engine.begin() as connection:
            if connection.execute(statement).rowcount < 1:
                raise LookupError(f"{name} has no such row")

    def insert(self, name: str, /, **values: object) -> None:
        """Insert a row."""
        with self._engine.begin() as connection:
            connection.execute(self.table(name).insert().values(**values))

    def delete(self, name: str, /, **where: object) -> None:
        """Delete rows."""
        with self._engine.begin() as connection:
            connection.execute(self.table(name).delete().filter_by(**where))

    # --- the application's records ---------------------------------------------------------------

    def stored(self, place: Place) -> Stored:
        """Read what is stored for a place."""
        if place.layout == "value":
            (row,) = self.rows(VALUES, place=place.name)
            return Sealed(row["sealed"])
        if place.layout == "file":
            return SealedFile(self.path(place))
        where = {"table_name": place.context.table, "record_id": _record_id(place)}
        (head,) = self.rows("twinlock_sealed_rows", **where)
        cells = self.rows("twinlock_sealed_cells", **where)
        return SealedRow(head["head"], {cell["column_name"]: cell["cell"] for cell in cells})

    def put(self, place: Place, stored: Stored) -> None:
        """Put something where a place's record is stored."""
        if isinstance(stored, SealedRow):
            self._put_row(place, stored)
        elif isinstance(stored, SealedFile):
            if stored.path != self.path(place):
                self.path(place).write_bytes(stored.path.read_bytes())
        else:
            raw = stored.raw if isinstance(stored, Sealed) else stored
            self.delete(VALUES, place=place.name)
            self.insert(VALUES, place=place.name, sealed=raw)

    def path(self, place: Place) -> Path:
        """Return where a place's sealed file lies."""
        return self._files / f"{place.name}.twl"

    def _put_row(self, place: Place, row: SealedRow) -> None:
        rows, cells = self.table("twinlock_sealed_rows"), self.table("twinlock_sealed_cells")
        where = {"table_name": place.context.table, "record_id": _record_id(place)}
        if not self.rows("twinlock_sealed_tables", name=place.context.table):
            self.insert("twinlock_sealed_tables", name=place.context.table)
        with self._engine.begin() as connection:
            connection.execute(cells.delete().filter_by(**where))
            connection.execute(rows.delete().filter_by(**where))
            connection.execute(rows.insert().values(**where, head=row.head, plain=b""))
            for column, cell in row.cells.items():
                connection.execute(cells.insert().values(**where, column_name=column, cell=cell))

    # --- snapshots -------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copy everything."""
        tables = {name: self.rows(name) for name in self._metadata.tables}
        files = {path.name: path.read_bytes() for path in self._files.iterdir()}
        return Snapshot(tables, files)

    def restore(self, snapshot: Snapshot, tables: Iterable[str] | None = None) -> None:
        """Put a snapshot back: all tables and files, or some tables only."""
        chosen = set(tables) if tables is not None else set(snapshot.tables)
        ordered = [t for t in self._metadata.sorted_tables if t.name in chosen]
        with self._engine.begin() as connection:
            for table in reversed(ordered):
                connection.execute(table.delete())
            for table in ordered:
                if snapshot.tables[table.name]:
                    connection.execute(
                        table.insert(), [dict(r) for r in snapshot.tables[table.name]]
                    )
        if tables is None:
            for path in self._files.iterdir():
                path.unlink()
            for name, data in snapshot.files.items():
                (self._files / name).write_bytes(data)

    def close(self) -> None:
        """Close the attacker's connections."""
        self._engine.dispose()


@dataclass(frozen=True, slots=True)
class HsmUser:
    """The HSM interface with PIN: any PKCS#11 call, any key of the token, keys of one's own."""

    config: Config
    module: str
    label: str
    pin: str

    @contextmanager
    def connected(self) -> Iterator[Token]:
        """The token through the package, with the keys that the directory names loaded."""
        token = setup.connect_token(self.config)
        try:
            token.load_keys(entry.key for entry in directory_of(self.config).entries)
            yield token
        finally:
            token.close()


def directory_of(config: Config) -> Directory:
    """Return the verified token directory as it stands in the database."""
    with SqlStore.connect(config.store_url) as store:
        return setup.load_directory(store, config, _now())[1]


def statements_of(database: DatabaseWriter) -> list[Statement]:
    """Return the directory's statements as they stand in the database."""
    rows = database.rows("twinlock_statements")
    return [Statement(row["statement"], row["signature"]) for row in rows]


def _now() -> int:
    return int(time.time())


def _record_id(place: Place) -> bytes:
    return record_bytes(place.context.record)


def spki_of(key: SigningKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo of a P-256 key."""
    return spki_of_point(key.public)


def spki_of_point(raw: bytes) -> bytes:
    """Return the DER SubjectPublicKeyInfo of an uncompressed P-256 point."""
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    return point.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclass(slots=True)
class OwnToken:
    """Keys in the attacker's own software, stated as if they were a token's."""

    deployment_id: bytes
    identity: SigningKey = field(default_factory=lambda: signing_key_from_seed(random_secret()))
    log: SigningKey = field(default_factory=lambda: signing_key_from_seed(random_secret()))
    audit: SigningKey = field(default_factory=lambda: signing_key_from_seed(random_secret()))
    rsa: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of the attacker's identity key."""
        return identity_fingerprint(spki_of(self.identity))

    def key(self, role: KeyRole, suite: OuterSuite | None = None) -> TokenKey:
        """Return a key as a directory states it."""
        if role is KeyRole.WRAPPING:
            return TokenKey(role, self.kid(role), self.rsa_spki, suite)
        pairs = {KeyRole.IDENTITY: self.identity, KeyRole.LOG: self.log, KeyRole.AUDIT: self.audit}
        return TokenKey(role, self.kid(role), spki_of(pairs[role]))

    @staticmethod
    def kid(role: KeyRole) -> bytes:
        """Return a CKA_ID."""
        return sha256(b"own " + role.value.encode())[:16]

    @property
    def rsa_spki(self) -> bytes:
        """The attacker's RSA key, for wrapping or transport."""
        return self.rsa.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def state(self, key: TokenKey, sign: Callable[[bytes], bytes] | None = None) -> Statement:
        """State a key, newer than any other; signed by this identity, or by ``sign``."""
        now = int(time.time())
        raw = token_key_statement(self.deployment_id, key, "own", now, now + KEY_LIFE)
        return Statement(raw, (sign or self.identity.sign)(raw))

    def directory(self) -> tuple[Statement, ...]:
        """A whole directory of this token."""
        return tuple(
            self.state(self.key(r)) for r in (KeyRole.IDENTITY, KeyRole.LOG, KeyRole.AUDIT)
        )

    def transport(self, nonce: bytes) -> tuple[TransportKey, Statement]:
        """A transport key whose private half the attacker has, stated to an agent."""
        key = TransportKey(sha256(b"own transport")[:16], self.rsa_spki, "sha1")
        now = int(time.time())
        raw = transport_statement(self.deployment_id, key, now, now + 3600, nonce)
        return key, Statement(raw, self.identity.sign(raw))

    def decrypt(self, block: bytes) -> bytes:
        """RSA-OAEP with SHA-1, as the transport key says."""
        mgf = padding.MGF1(hashes.SHA1())
        return self.rsa.decrypt(block, padding.OAEP(mgf, hashes.SHA1(), None))


def random_secret() -> Secret:
    """Return 32 random bytes."""
    return Secret(os.urandom(32))
