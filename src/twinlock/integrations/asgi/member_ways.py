"""The ways to sign in, as they run in the vault's executor (SPEC 26, 27, 29).

For a name that is no member's the same is looked up, computed and said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from twinlock.core.scram.exchange import ChannelBinding
from twinlock.core.scram.exchange import refused as scram_refused
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from twinlock.server.login import check_login
from twinlock.server.vault import Vault
from twinlock.store.values import StoredMember

if TYPE_CHECKING:
    from twinlock.server.passkeys import PasskeyChallenge, PasskeyLogin
    from twinlock.server.scram import ScramLogin, ScramSession

SPLIT, SCRAM, PASSKEY = "split", "scram", "passkey"
_NOBODY: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The members whose sign-ins a vault keeps."""

    vault: Vault

    def find(self, name: str, kind: str) -> tuple[StoredMember | None, list[bytes]]:
        """Return a member and what its sign-ins of one kind are compared with."""
        return self._with_logins(self.vault.store.members.member(name), kind)

    def by_id(self, member_id: bytes | None, kind: str) -> tuple[StoredMember | None, list[bytes]]:
        """Return the same by the member's id."""
        found = self.vault.store.members.member_by_id(member_id or _NOBODY)
        return self._with_logins(found, kind)

    def split(self, name: str, secret: Secret) -> StoredMember:
        """Check a login secret. Raises CallerError ``login.refused``."""
        member, verifiers = self.find(name, SPLIT)
        member_id = _NOBODY if member is None else member.member_id
        check_login(verifiers[0] if verifiers else None, member_id, secret)
        if member is None:
            raise login_refused()
        return member

    def _with_logins(
        self, member: StoredMember | None, kind: str
    ) -> tuple[StoredMember | None, list[bytes]]:
        # A stranger's take one more look as well. Who is in no trusted group any more is one.
        member_id = _NOBODY if member is None else member.member_id
        if not self.vault.members.is_present(member_id):
            member, member_id = None, _NOBODY
        return member, self.vault.store.members.logins(member_id, kind)


@dataclass(frozen=True, slots=True)
class ScramWay:
    """SCRAM with the verifiers that members handed in. ``binding``: what clients must bind to."""

    accounts: Accounts
    binding: ChannelBinding | None
    login: ScramLogin

    @classmethod
    def of(cls, accounts: Accounts, binding: ChannelBinding | None) -> ScramWay:
        """Return it for a vault's accounts. Needs the ``scram`` extra."""
        from twinlock.server.scram import ScramLogin

        vault = accounts.vault
        return cls(accounts, binding, ScramLogin.of(vault, unknown=vault.stranger_secret))

    def begin(self, message: str, count: Callable[[str], None]) -> ScramSession:
        """Answer a client-first-message; ``count`` gets the name in it first.

        Raises as ``ScramLogin.begin``, and what ``count`` raises.
        """

        def find(account: str) -> bytes | None:
            count(account)
            _, verifiers = self.accounts.find(account, SCRAM)
            return verifiers[0] if verifiers else None

        return self.login.begin(message, find, binding=self.binding)

    def finish(self, session: ScramSession, message: str) -> tuple[StoredMember, str]:
        """Check the proof; return the member and the server-final-message.

        Raises CallerError ``scram.refused``.
        """
        answer = session.finish(message)
        member, _ = self.accounts.find(session.account, SCRAM)
        if member is None:
            raise scram_refused()
        return member, answer


@dataclass(frozen=True, slots=True)
class SignInBegun:
    """A passkey's sign-in under way. ``name`` None: the authenticator says whose it is."""

    challenge: PasskeyChallenge
    name: str | None


@dataclass(frozen=True, slots=True)
class RegistrationBegun:
    """A passkey's registration under way, for the member who is signed in."""

    challenge: PasskeyChallenge
    member_id: bytes


@dataclass(frozen=True, slots=True)
class PasskeyWay:
    """Passkeys with the credentials that members handed in."""

    accounts: Accounts
    login: PasskeyLogin = field(repr=False)

    def begin(self, name: str | None) -> SignInBegun:
        """Begin to sign in."""
        stored = [] if name is None else self.accounts.find(name, PASSKEY)[1]
        return SignInBegun(self.login.begin(name, _readable(stored)), name)

    def finish(self, begun: SignInBegun, response: Mapping[str, Any]) -> StoredMember:
        """Check an assertion, and keep its count.

        Raises CallerError ``passkey.refused`` or ``passkey.prf-leaked``.
        """
        if begun.name is None:
            claimed = self.login.claimed_member(response)
            member, stored = self.accounts.by_id(claimed, PASSKEY)
        else:
            member, stored = self.accounts.find(begun.name, PASSKEY)
        member_id = None if member is None else member.member_id
        signed = self.login.finish(
            begun.challenge, response, member_id=member_id, stored=_readable(stored)
        )
        kept = member is not None and self.accounts.vault.store.members.replace_login(
            member.member_id, PASSKEY, signed.before, signed.after
        )
        if member is None or not kept:
            raise passkey_refused()
        return member

    def begin_registration(self, member_id: bytes) -> RegistrationBegun:
        """Begin to register another passkey of a signed-in member."""
        _, stored = self.accounts.by_id(member_id, PASSKEY)
        return RegistrationBegun(self.login.begin_registration(_readable(stored)), member_id)

    def finish_registration(self, begun: RegistrationBegun, response: Mapping[str, Any]) -> bytes:
        """Return what goes into the member's next change.

        Raises CallerError ``passkey.refused`` or ``passkey.prf-leaked``.
        """
        return self.login.finish_registration(begun.challenge, response, member_id=begun.member_id)


def _readable(stored: list[bytes]) -> list[bytes]:
    """Leave out what a member handed in that is no passkey's record: it must not look different."""
    from twinlock.server.passkey_records import decode_passkey_record

    found = []
    for raw in stored:
        try:
            decode_passkey_record(raw)
        except DataError:
            continue
        found.append(raw)
    return found


def login_refused() -> CallerError:
    """Return the one error of a sign-in that failed, for whatever reason."""
    return CallerError(
        "login.refused",
        "This name and this password do not belong together.",
        hint="Check both and try again.",
    )


def passkey_refused() -> CallerError:
    """Return the one error for a passkey that signs nobody in."""
    return CallerError(
        "passkey.refused",
        "This passkey was not accepted.",
        hint="Try again, or sign in another way.",
    )
