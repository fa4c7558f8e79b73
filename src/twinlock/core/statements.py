"""Statements of the token's identity key: its directory of public keys, and transport keys.

Writers and agents take wrapping, log and audit keys from here only, never from a row. The identity
key is known by its fingerprint, SHA-256 of its SubjectPublicKeyInfo, pinned in every group's log
and in the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey, TransportKey
from twinlock.core.primitives import check_rsa_public, equal, p256_point, sha256, verify
from twinlock.errors import CallerError, DataError, not_authentic

MAX_TRANSPORT_LIFE: Final = 2 * 3600
CLOCK_SKEW: Final = 120

_TRANSPORT: Final = "twinlock/v1/transport"
_TOKEN_KEY: Final = "twinlock/v1/token-key"  # noqa: S105 - a label


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it is stored and sent: the signed bytes and the identity key's signature."""

    raw: bytes
    signature: bytes


def identity_fingerprint(identity_spki: bytes) -> bytes:
    """Return the 32-byte fingerprint of an identity key."""
    return sha256(identity_spki)


# --- transport keys --------------------------------------------------------------------------


def transport_statement(
    deployment_id: bytes, key: TransportKey, not_before: int, not_after: int, agent_nonce: bytes
) -> bytes:
    """Return the bytes to sign: this transport key serves the agent that chose the nonce."""
    return cbor.encode(
        [
            _TRANSPORT,
            deployment_id,
            key.kid,
            key.public,
            key.oaep_hash,
            not_before,
            not_after,
            agent_nonce,
        ]
    )


def verify_transport(
    statement: Statement,
    *,
    identity_spki: bytes,
    fingerprint: bytes,
    deployment_id: bytes,
    agent_nonce: bytes,
    now: int,
) -> TransportKey:
    """Check a transport key as an agent does: pinned identity, own nonce, lifetime, key strength.

    Raises DataError ``transport.identity``, ``transport.nonce``, ``transport.expired`` or
    ``data.not-authentic``.
    """
    if not equal(identity_fingerprint(identity_spki), fingerprint):
        raise DataError(
            "transport.identity",
            "The server speaks for another token than the one pinned here.",
            hint="Stop. Compare the fingerprint with an administrator by phone.",
        )
    verify(p256_point(identity_spki), statement.raw, statement.signature)
    items = cbor.decode_labelled(statement.raw, _TRANSPORT, 8, max_size=4096)
    _, deployment, kid, spki, oaep_hash, not_before, not_after, nonce = items
    if deployment != deployment_id:
        raise not_authentic("transport: another deployment")
    if not equal(cbor.take_bytes(nonce, 32), agent_nonce):
        raise DataError(
            "transport.nonce",
            "The transport key was stated for another session than this agent's.",
            hint="Ask the server for a new request.",
        )
    begin, end = cbor.take_uint(not_before), cbor.take_uint(not_after)
    alive = begin - CLOCK_SKEW <= now <= end + CLOCK_SKEW
    if not alive or not 0 <= end - begin <= MAX_TRANSPORT_LIFE:
        raise DataError(
            "transport.expired",
            "The transport key is not valid now.",
            hint="Ask the server for a new request, and compare the clocks of both machines.",
        )
    if oaep_hash not in ("sha1", "sha256"):
        raise not_authentic("transport: unknown OAEP hash")
    return TransportKey(
        cbor.take_bytes(kid, 16), check_rsa_public(cbor.take_bytes(spki)), oaep_hash
    )


# --- the token directory ---------------------------------------------------------------------


KEY_LIFE: Final = 10 * 365 * 86400
"""For how many seconds a long-lived key is stated, unless it is to retire."""


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One long-lived key of the token, as its identity key states it."""

    key: TokenKey
    serial: str
    not_before: int
    not_after: int

    @property
    def retiring(self) -> bool:
        """Whether its end was set before the usual time: nothing new is made with the key."""
        return self.not_after - self.not_before < KEY_LIFE

    def valid_at(self, now: int) -> bool:
        """Whether the statement holds now, give or take the clocks' difference."""
        return self.not_before - CLOCK_SKEW <= now <= self.not_after + CLOCK_SKEW


def token_key_statement(
    deployment_id: bytes, key: TokenKey, serial: str, not_before: int, not_after: int
) -> bytes:
    """Return the bytes to sign for one long-lived key."""
    return cbor.encode(
        [
            _TOKEN_KEY,
            deployment_id,
            _type_of(key),
            key.kid,
            key.public,
            serial,
            not_before,
            not_after,
        ]
    )


@dataclass(frozen=True, slots=True)
class Directory:
    """The verified token directory."""

    identity: TokenKey
    entries: tuple[DirectoryEntry, ...]

    def current(self, role: KeyRole, suite: OuterSuite | None = None) -> TokenKey:
        """Return the newest valid key of a role that is not retiring, else the newest that is.

        Raises CallerError ``directory.no-key``.
        """
        found = [e for e in self.entries if e.key.role is role and e.key.suite is suite]
        if not found:
            raise CallerError(
                "directory.no-key",
                f"The token directory states no {role.value} key"
                + (f" for {suite.name}." if suite else "."),
                hint="Run `twinlock token add-key`, `add-hardening-key` or `add-verifier-key`.",
            )
        return max(found, key=lambda entry: (not entry.retiring, entry.not_before)).key

    def by_kid(self, kid: bytes) -> TokenKey | None:
        """Return the stated key with this id."""
        return next((entry.key for entry in self.entries if entry.key.kid == kid), None)

    def hardening_point(self, kid: bytes) -> bytes:
        """Return K of a stated hardening key, 65 bytes.

        Raises DataError ``directory.no-hardening-key``.
        """
        key = self.by_kid(kid)
        if key is None or key.role is not KeyRole.HARDENING:
            raise DataError(
                "directory.no-hardening-key",
                "The token directory states no hardening key of that id.",
                hint="Its key may be gone: use another way in, and enrol the password anew.",
            )
        return p256_point(key.public)

    @property
    def wrapping_keys(self) -> tuple[TokenKey, ...]:
        """Every stated wrapping key, of all suites, old ones too."""
        return tuple(e.key for e in self.entries if e.key.role is KeyRole.WRAPPING)

    @property
    def log_point(self) -> bytes:
        """The 65-byte point of the key that countersigns membership logs."""
        return p256_point(self.current(KeyRole.LOG).public)


def verify_directory(
    statements: Iterable[Statement], *, deployment_id: bytes, fingerprint: bytes, now: int
) -> Directory:
    """Check every statement against the pinned identity and return the directory.

    Expired statements are left out. Raises ``directory.identity`` when no statement is of the
    pinned identity key, ``data.not-authentic`` for any that it did not sign.
    """
    rows = [(_decode_token_key(s.raw, deployment_id), s) for s in statements]
    identity = next(
        (
            entry.key
            for entry, _ in rows
            if entry.key.role is KeyRole.IDENTITY
            and entry.valid_at(now)
            and equal(identity_fingerprint(entry.key.public), fingerprint)
        ),
        None,
    )
    if identity is None:
        raise DataError(
            "directory.identity",
            "The token directory is not that of the pinned token.",
            hint="The directory was replaced, or the wrong database is connected.",
        )
    point = p256_point(identity.public)
    for _, statement in rows:
        verify(point, statement.raw, statement.signature)
    valid = tuple(entry for entry, _ in rows if entry.valid_at(now))
    return Directory(identity, valid)


def _decode_token_key(raw: bytes, deployment_id: bytes) -> DirectoryEntry:
    items = cbor.decode_labelled(raw, _TOKEN_KEY, 8, max_size=4096)
    _, deployment, kind, kid, public, serial, not_before, not_after = items
    if deployment != deployment_id:
        raise not_authentic("directory: another deployment")
    role, suite = _take_type(kind)
    key = TokenKey(role, cbor.take_bytes(kid, 16), cbor.take_bytes(public), suite)
    return DirectoryEntry(
        key, cbor.take_text(serial), cbor.take_uint(not_before), cbor.take_uint(not_after)
    )


def _type_of(key: TokenKey) -> str:
    return key.role.value if key.suite is None else f"{key.role.value}/{int(key.suite)}"


def _take_type(value: object) -> tuple[KeyRole, OuterSuite | None]:
    for role in KeyRole:
        for suite in (None, *OuterSuite):
            wanted = role is KeyRole.WRAPPING
            if wanted == (suite is not None) and value == _type_of(TokenKey(role, b"", b"", suite)):
                return role, suite
    raise cbor.malformed("it states a key of an unknown type")
