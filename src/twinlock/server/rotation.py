"""Rotating the token's keys of passwords and verifiers (SPEC 33).

A retiring key goes on serving what was made with it until its end, and nothing new. Members'
agents make their enrolments anew at their next unlock; verifiers are locked anew by the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors.password import take_password_parameters
from twinlock.core.ports import KeyRole
from twinlock.core.statements import DirectoryEntry, token_key_statement
from twinlock.errors import CallerError
from twinlock.server.members import SCRAM
from twinlock.server.vault import Vault
from twinlock.server.verifiers import verifier_kid

ROLES: Final = frozenset({KeyRole.HARDENING, KeyRole.VERIFIER})


@dataclass(frozen=True, slots=True)
class Dependents:
    """Who still needs a key: names of members whose enrolments or verifiers kept here use it."""

    entry: DirectoryEntry
    names: tuple[str, ...]


def dependents(vault: Vault) -> list[Dependents]:
    """Return every hardening and verifier key with who needs it, oldest first.

    Enrolments that are kept on members' computers alone cannot be counted here.
    """
    users: dict[bytes, set[str]] = {}
    names = {m.member_id: m.name for m in vault.store.members.members()}
    for member_id, blob in vault.store.members.all_enrolments():
        password = dict(decode_enrolment(blob).factors).get("password")
        if password is not None:
            kid, _ = take_password_parameters(password)
            users.setdefault(kid, set()).add(names[member_id])
    for member_id, locked in vault.store.members.all_logins(SCRAM):
        users.setdefault(verifier_kid(locked), set()).add(names[member_id])
    entries = [e for e in vault.directory.entries if e.key.role in ROLES]
    return [
        Dependents(entry, tuple(sorted(users.get(entry.key.kid, ()))))
        for entry in sorted(entries, key=lambda e: e.not_before)
    ]


def retire(vault: Vault, kid: bytes, *, until: int) -> DirectoryEntry:
    """State that a hardening or verifier key ends at ``until`` (seconds since the epoch).

    From then on agents and server refuse it. Until then it serves what was made with it. Raises
    CallerError ``directory.no-such-key``, ``directory.last-key`` or ``directory.retired-earlier``.
    """
    entry = _entry(vault, kid)
    role = entry.key.role
    others = [e for e in vault.directory.entries if e.key.role is role and not e.retiring]
    if [e.key.kid for e in others] == [kid]:
        raise CallerError(
            "directory.last-key",
            f"This is the only {role.value} key that something new can be made with.",
            hint=f"Make another one first: `twinlock token add-{role.value}-key`.",
        )
    if until >= entry.not_after or until <= entry.not_before:
        raise CallerError(
            "directory.retire-when",
            "A key retires after it was made and before it would end anyway.",
            hint="Give a day in between.",
        )
    raw = token_key_statement(
        vault.config.deployment_id, entry.key, entry.serial, entry.not_before, until
    )
    signature = vault.token.sign(vault.directory.identity.kid, raw)
    vault.store.directory.replace_statements(kid, role.value, raw, signature)
    vault.read_directory_again()
    return DirectoryEntry(entry.key, entry.serial, entry.not_before, until)


def relock_verifiers(vault: Vault, *, on_done: Callable[[], None] = lambda: None) -> int:
    """Lock every verifier that is kept here with the present key; return how many were.

    Safe to kill and to repeat, and beside sign-ins and changes. While one is done, StoredKey and
    ServerKey pass through this process, as at a sign-in.
    """
    names = {m.member_id: m.name for m in vault.store.members.members()}
    logins, count = vault.store.members.all_logins(SCRAM), 0
    present = vault.directory.current(KeyRole.VERIFIER).kid if logins else b""
    for member_id, locked in logins:
        if verifier_kid(locked) != present:
            account = names[member_id]
            anew = vault.verifiers.lock(account, vault.verifiers.unlock(account, locked))
            count += vault.store.members.replace_login(member_id, SCRAM, locked, anew)
        on_done()
    return count


def destroy(vault: Vault, kid: bytes, *, losing: frozenset[str] = frozenset()) -> None:
    """Destroy a retiring key in the token, for ever, and take it from the directory.

    Refused while members need it, unless exactly they are named in ``losing``: their enrolments or
    verifiers of that key are then worth nothing. If the token fails at it, the key is stated no
    more and still there: destroy it by its id with the token's own tools. Raises CallerError
    ``directory.no-such-key``, ``directory.not-retiring`` or ``directory.in-use``, and the token's
    errors.
    """
    entry = _entry(vault, kid)
    if not entry.retiring:
        raise CallerError(
            "directory.not-retiring",
            "This key is in service.",
            hint="Retire it first: `twinlock token retire`.",
        )
    needed = next(set(d.names) for d in dependents(vault) if d.entry.key.kid == kid)
    if needed - losing:
        raise CallerError(
            "directory.in-use",
            f"{len(needed)} members need this key: {', '.join(_some(needed))}.",
            hint="Wait until they have signed in again, or name them all with --losing.",
        )
    # In this order: a server does not start with a stated key that the token has no more.
    token = vault.token
    vault.store.directory.forget(kid)
    vault.read_directory_again()
    token.destroy_key(kid)


def _entry(vault: Vault, kid: bytes) -> DirectoryEntry:
    for entry in vault.directory.entries:
        if entry.key.kid == kid and entry.key.role in ROLES:
            return entry
    raise CallerError(
        "directory.no-such-key",
        "The token directory states no hardening or verifier key of that id.",
        hint="`twinlock token list` shows them.",
    )


def _some(names: set[str]) -> Iterator[str]:
    yield from sorted(names)[:10]
    if len(names) > 10:
        yield "…"
