"""An application of the time before Twinlock: patients, each with a DEK that the HSM wraps.

Every row has a DEK of its own, RSA-OAEP-encrypted to a key of the token. ``diagnosis`` keeps
nonce and tag in columns of their own; ``notes`` has the nonce in front, the tag behind, and no
additional data. What a row says follows from its id and revision, so that anybody can tell what
it must say.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, create_engine, make_url, text

from twinlock.server.config import load_config
from twinlock.server.setup import connect_token
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.keys import read_modulus
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.spki import rsa_spki

WARDS: Final = ("3B", "4A")
UNKNOWN_WARD: Final = "9Z"
ADOPT_TOML: Final = """\
[database]
url = "{url}"

[adopt]
authority = "{authority}"

[legacy-keys.records-2021]
id = "{key_id}"
public = "old-key.pem"
oaep-hash = "sha1"

[[tables]]
table = "patients"
name = "patient"
key = "id"
dek = "wrapped_dek"
legacy-key-column = "key_name"
groups = ["{{ward}}", "{everywhere}"]

  [tables.group-names]
  "3B" = "{first}"
  "4A" = "{second}"

  [[tables.columns]]
  name = "diagnosis"
  ciphertext = "diagnosis_ct"
  nonce = "diagnosis_nonce"
  tag = "diagnosis_tag"
  aad = "patient:{{id}}:diagnosis"

  [[tables.columns]]
  name = "notes"
  ciphertext = "notes_ct"
"""
_BLOB: Final = {"postgresql": "BYTEA", "sqlite": "BLOB"}
_COLUMNS: Final = (
    *("id", "ward", "revision", "key_name", "wrapped_dek", "diagnosis_ct"),
    *("diagnosis_nonce", "diagnosis_tag", "notes_ct"),
)
INSERT: Final = text(
    f"INSERT INTO patients ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(':' + name for name in _COLUMNS)})"
)
UPDATE: Final = text(
    "UPDATE patients SET "
    + ", ".join(f"{name} = :{name}" for name in _COLUMNS[2:])
    + " WHERE id = :id"
)
_CHUNK: Final = 2000


def diagnosis_of(number: int, revision: int) -> str:
    """Return what a row's diagnosis says."""
    return f"diagnosis {number}, revision {revision}: I48.{number % 10} atrial fibrillation"


def notes_of(number: int, revision: int) -> str:
    """Return what a row's notes say."""
    return f"notes on {number}, revision {revision}: " + "seen on the ward round. " * (number % 4)


def make_old_key(
    token: Pkcs11Token, cka_id: bytes, *, unwrap: bool = True, bits: int = 2048
) -> bytes:
    """Make the key that the old application's HSM administrator made; returns its public PEM.

    Without ``unwrap`` it may only decrypt, as many such keys do.
    """
    named: dict[int, Any] = {
        Cka.KEY_TYPE: Ckk.RSA,
        Cka.TOKEN: True,
        Cka.ID: cka_id,
        Cka.LABEL: b"records",
    }
    public: dict[int, Any] = {Cka.CLASS: Cko.PUBLIC_KEY, **named, Cka.WRAP: True}
    private: dict[int, Any] = {
        Cka.CLASS: Cko.PRIVATE_KEY,
        **named,
        Cka.PRIVATE: True,
        Cka.SENSITIVE: True,
        Cka.EXTRACTABLE: False,
        Cka.DECRYPT: True,
        Cka.UNWRAP: unwrap,
    }
    with token.pool.main() as login:
        handle, _ = login.session.generate_rsa(bits, public, private)
        spki = rsa_spki(read_modulus(login.calls, handle), b"\x01\x00\x01")
    key = serialization.load_der_public_key(spki)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclass(frozen=True)
class OldApplication:
    """The old application on its database. ``dek_size`` is 32, or 16 for AES-128."""

    url: str
    public_pem: bytes
    oaep_hash: str = "sha1"
    key_name: str = "records-2021"
    dek_size: int = 32
    nonce_size: int = 12

    @cached_property
    def _public(self) -> rsa.RSAPublicKey:
        key = serialization.load_pem_public_key(self.public_pem)
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    def create_table(self) -> None:
        """Make the table, empty."""
        with begin(self.url) as connection:
            blob = _BLOB[connection.dialect.name]
            number = "BIGINT" if connection.dialect.name == "postgresql" else "INTEGER"
            connection.execute(
                text(
                    f"CREATE TABLE patients (id {number} PRIMARY KEY, ward TEXT, "
                    "revision INTEGER NOT NULL, key_name TEXT NOT NULL, "
                    f"wrapped_dek {blob} NOT NULL, diagnosis_ct {blob}, diagnosis_nonce {blob}, "
                    f"diagnosis_tag {blob}, notes_ct {blob})"
                )
            )

    def insert(self, first: int, count: int) -> None:
        """Insert rows with the ids from ``first`` on."""
        with begin(self.url) as connection:
            for start in range(first, first + count, _CHUNK):
                numbers = range(start, min(start + _CHUNK, first + count))
                connection.execute(INSERT, [self.row(number, 0) for number in numbers])

    def insert_with(self, processes: int, count: int) -> None:
        """Insert ``count`` rows with several processes, the ids from 1 on."""
        pieces = [(self, start, min(_CHUNK, count - start)) for start in range(0, count, _CHUNK)]
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(_insert_piece, pieces):
                pass

    def update(self, number: int, revision: int) -> None:
        """Write a row anew, with a new DEK, as the old application does when it is edited."""
        with begin(self.url) as connection:
            connection.execute(UPDATE, self.row(number, revision))

    def row(self, number: int, revision: int) -> dict[str, Any]:
        """Return a row of this id and revision, encrypted."""
        dek, nonce = os.urandom(self.dek_size), os.urandom(self.nonce_size)
        gcm = AESGCM(dek)
        said = diagnosis_of(number, revision).encode()
        sealed = gcm.encrypt(nonce, said, f"patient:{number}:diagnosis".encode())
        other = os.urandom(12)
        return {
            "id": number,
            "ward": WARDS[number % len(WARDS)],
            "revision": revision,
            "key_name": self.key_name,
            "wrapped_dek": self._public.encrypt(dek, _oaep(self.oaep_hash)),
            "diagnosis_ct": sealed[:-16],
            "diagnosis_nonce": nonce,
            "diagnosis_tag": sealed[-16:],
            "notes_ct": other + gcm.encrypt(other, notes_of(number, revision).encode(), None),
        }

    def drop_table(self) -> None:
        """Drop the table and what an adoption added to the database."""
        with begin(self.url) as connection:
            for table in ("patients", "twinlock_adopt_runs", "twinlock_adopt_findings"):
                connection.execute(text(f"DROP TABLE IF EXISTS {table}"))


@contextmanager
def begin(url: str) -> Iterator[Connection]:
    """A transaction on an engine of its own."""
    address = make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _oaep(name: str) -> padding.OAEP:
    chosen = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}[name]
    return padding.OAEP(padding.MGF1(chosen()), chosen(), None)


def _insert_piece(piece: tuple[OldApplication, int, int]) -> None:
    application, start, count = piece
    application.insert(start + 1, count)


def main() -> None:
    """Make an old application beside a deployment: key, ``old-key.pem``, ``adopt.toml``, rows."""
    parser = argparse.ArgumentParser(prog="bench.legacy", description=main.__doc__)
    parser.add_argument("config", type=Path, help="twinlock.toml of the deployment")
    parser.add_argument("url", help="the application's database")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--groups", nargs=3, default=("ward", "ward", "emergency"))
    options = parser.parse_args()
    first, second, everywhere = options.groups
    token = connect_token(load_config(options.config))
    if not isinstance(token, Pkcs11Token):
        raise TypeError("the old application's key lies in a PKCS#11 token")
    key_id = os.urandom(4)
    public = make_old_key(token, key_id)
    token.close()
    Path("old-key.pem").write_bytes(public)
    Path("adopt.toml").write_text(
        ADOPT_TOML.format(
            url=options.url,
            authority=first,
            key_id=key_id.hex(),
            everywhere=everywhere,
            first=first,
            second=second,
        )
    )
    application = OldApplication(options.url, public)
    application.create_table()
    if options.processes == 1:
        application.insert(1, options.rows)
    else:
        application.insert_with(options.processes, options.rows)


if __name__ == "__main__":
    main()
