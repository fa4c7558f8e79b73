"""The demo's thief: the database, the PIN, the code and the running token, but no member.

Everything here is what somebody who took over the server could do tonight.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from twinlock.core import segments
from twinlock.core.envelope import decode_cell, decode_row_head
from twinlock.core.opening import prepare_record
from twinlock.core.ports import DekOpening, Token
from twinlock.core.primitives import (
    aes_key_unwrap,
    aes_key_wrap,
    gcm_open,
    rsa_oaep_encrypt,
    sha256,
)
from twinlock.errors import DataError, TwinlockError
from twinlock.store.values import SealedRow
from twinlock.token.pkcs11_token import Pkcs11Token


def find_candidates(database: Path, pin: bytes, rows: Iterable[SealedRow]) -> list[bytes]:
    """Everything of 32 bytes that lies around and could be a key: the thief tries them all."""
    found = {bytes(32), sha256(pin), sha256(database.read_bytes())}
    for row in rows:
        head = decode_row_head(row.head)
        found.add(head.header.commitment)
        found.add(sha256(row.head))
    return sorted(found)[:64]


def open_in_the_token(
    token: Token, rows: Iterable[tuple[SealedRow, bytes]], guesses: list[bytes]
) -> int:
    """Ask the token itself, with a transport key and a release of the thief's own making.

    Each row comes with its encoded context, which the thief computes as the code does. Returns how
    many rows came out as plaintext.
    """
    transport = token.generate_transport_key()
    session_key = os.urandom(32)
    block = rsa_oaep_encrypt(transport.public, transport.oaep_hash, session_key)
    opened = 0
    try:
        for row, context in rows:
            head = decode_row_head(row.head)
            fields = {column: decode_cell(cell, head) for column, cell in row.cells.items()}
            record = prepare_record(head, context, fields)
            tasks = [
                DekOpening(aes_key_wrap(session_key, guess), record.outer, record.fields)
                for guess in guesses
            ]
            with token.opening(transport.kid, block) as opening:
                results = opening.open_many(tasks)
            opened += sum(not isinstance(result, DataError) for result in results)
    finally:
        token.destroy_transport_key(transport.kid)
    return opened


def wrapped_dek_from_the_token(token: Pkcs11Token, row: SealedRow) -> bytes:
    """Have the token decrypt a record's outer lock: W, the DEK still under its release key.

    The interface gives that to whoever has the PIN. Returns 40 bytes, or none.
    """
    head = decode_row_head(row.head)
    held = token.keys.find(head.header.wrapping_kid)
    if held is None or held.outer is None:
        return b""
    with token.pool.main() as login:
        return login.calls.decrypt(held.outer, held.handle, head.outer)[:40]


def open_outside(wrapped_dek: bytes, row: SealedRow, context: bytes, guesses: list[bytes]) -> int:
    """Try every guess on a wrapped DEK that the token was made to decrypt, in software."""
    head = decode_row_head(row.head)
    opened = 0
    for column, cell in row.cells.items():
        sealed = decode_cell(cell, head)
        for part in segments.cut_ciphertext(
            head.core.raw, context, column, sealed.prefix, sealed.ciphertext
        ):
            for guess in guesses:
                opened += _try(guess, wrapped_dek, part.nonce, part.ciphertext, part.aad)
    return opened


def _try(guess: bytes, wrapped: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> int:
    try:
        gcm_open(aes_key_unwrap(guess, wrapped), nonce, ciphertext, aad)
    except TwinlockError:
        return 0
    return 1
