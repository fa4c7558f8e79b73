"""Signing in with passkeys whose browser agent has an origin of its own (SPEC 29).

What unlocks, the agent keeps to itself; what signs in is for one application alone, because the
challenge names it. Needs the ``passkey`` extra.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.factors.passkey import is_rp_id
from twinlock.core.origins import secure_host
from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server.passkey_records import (
    PasskeyRecord,
    decode_passkey_record,
    decoy_passkey,
    nobodys_record,
)
from twinlock.server.passkey_responses import (
    Expected,
    Response,
    check_assertion,
    check_registration,
    claimed_credential,
    claimed_member,
    encoded,
    refused,
)

LIFE_SECONDS: Final = 300
_NONCE_SIZE: Final = 32
_SIGN_IN: Final = "twinlock/v1/sign-in"
_REGISTRATION: Final = "twinlock/v1/passkey-registration"


@dataclass(frozen=True, slots=True)
class PasskeyChallenge:
    """One ceremony under way, which the application keeps and takes away before it ends it.

    ``options`` go to the agent as JSON; ``begun`` is Unix time. Nonce and time are all that is
    needed to end it.
    """

    nonce: bytes
    begun: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PasskeySignIn:
    """A member is signed in. ``after`` is to be stored in the place of ``before``.

    Only if ``before`` still stands there: of two copies of an authenticator one fails so.
    """

    before: bytes
    after: bytes


class PasskeyLogin:
    """The passkeys of one application. Stateless, safe for many threads.

    ``audience`` is the application's own origin, ``agent_origin`` that of its browser agent, both
    as browsers write them. ``unknown`` is a random secret of 32 bytes that the application keeps:
    from it comes what accounts that do not exist answer with. The application counts attempts,
    keeps challenges and what it is given to store, and looks up by itself who a name is. Raises
    CallerError ``passkey.origin``.
    """

    def __init__(
        self,
        *,
        audience: str,
        agent_origin: str,
        unknown: Secret,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        _host_of(audience)
        self.rp_id = _host_of(agent_origin)
        self._audience = audience
        self._agent_origin = agent_origin
        self._unknown = unknown
        self._clock = clock
        self._randomness = randomness
        self._nobodys = nobodys_record(randomness(32), self.rp_id)

    def begin_registration(self, stored: Sequence[bytes] = ()) -> PasskeyChallenge:
        """Begin to register another passkey for the member who is signed in.

        ``stored`` are the member's own, which are not registered twice. Raises ``format.*`` for
        one that was damaged.
        """
        return self._challenge("exclude", map(_described, self._own(stored)))

    def finish_registration(
        self, challenge: PasskeyChallenge, response: Response, *, member_id: bytes
    ) -> bytes:
        """Return what is to be stored for the member: ``login`` of SPEC 29.

        Raises CallerError ``passkey.refused`` or ``passkey.prf-leaked``.
        """
        content = [_REGISTRATION, self._audience, member_id, challenge.nonce]
        expected = self._expected(content)
        self._require_fresh(challenge)
        return check_registration(response, expected, member_id).encode()

    def begin(self, account: str | None = None, stored: Sequence[bytes] = ()) -> PasskeyChallenge:
        """Begin to sign in. Without a name, the authenticator's discoverable passkeys are offered.

        ``stored`` are the account's passkeys; without any, or for an account that does not exist,
        there is one that nobody has, always the same for one name.
        """
        shown = [_described(record) for record in self._own(stored)]
        if account is not None and not shown:
            shown = [_entry(*decoy_passkey(self._unknown, account))]
        return self._challenge("allow", shown)

    def finish(
        self,
        challenge: PasskeyChallenge,
        response: Response,
        *,
        member_id: bytes | None,
        stored: Sequence[bytes],
    ) -> PasskeySignIn:
        """Check an assertion: the member is signed in when this returns.

        ``member_id`` and ``stored`` are those of the name that it began with, or without one of
        ``claimed_member``; None and nothing for somebody who does not exist. Raises CallerError
        ``passkey.refused`` or ``passkey.prf-leaked``.
        """
        claimed = claimed_credential(response)
        own = (member_id, self.rp_id, claimed)
        before, record = None, replace(self._nobodys, credential_id=claimed)
        # Strangers cost a decoding and a signature check too.
        for raw in stored or [self._nobodys.encode()]:
            found = decode_passkey_record(raw)
            if (found.member_id, found.rp_id, found.credential_id) == own:
                before, record = raw, found
        expected = self._expected([_SIGN_IN, self._audience, challenge.nonce])
        count = check_assertion(response, expected, record)
        self._require_fresh(challenge)
        if before is None:
            raise refused()
        return PasskeySignIn(before, replace(record, sign_count=count).encode())

    @staticmethod
    def claimed_member(response: Response) -> bytes | None:
        """Return whose passkey an assertion says it is, to look up what is stored for ``finish``.

        Nobody has verified it. None where it does not say. Raises CallerError ``passkey.refused``.
        """
        return claimed_member(response)

    def _own(self, stored: Iterable[bytes]) -> list[PasskeyRecord]:
        """Those that this agent's origin can use."""
        records = [decode_passkey_record(raw) for raw in stored]
        return [record for record in records if record.rp_id == self.rp_id]

    def _challenge(self, name: str, entries: Iterable[Mapping[str, Any]]) -> PasskeyChallenge:
        nonce = self._randomness(_NONCE_SIZE)
        options = {"nonce": encoded(nonce), name: list(entries)}
        return PasskeyChallenge(nonce, self._clock(), options)

    def _expected(self, content: list[Any]) -> Expected:
        return Expected(sha256(cbor.encode(content)), self._agent_origin, self.rp_id)

    def _require_fresh(self, challenge: PasskeyChallenge) -> None:
        if not 0 <= self._clock() - challenge.begun <= LIFE_SECONDS:
            raise refused()


def _described(record: PasskeyRecord) -> dict[str, Any]:
    return _entry(record.credential_id, record.transports)


def _entry(credential_id: bytes, transports: Sequence[str]) -> dict[str, Any]:
    return {"id": encoded(credential_id), "transports": list(transports)}


def _host_of(origin: str) -> str:
    """Return an origin's host. Raises CallerError ``passkey.origin``."""
    host = secure_host(origin)
    if host is None or not is_rp_id(host):
        raise CallerError(
            "passkey.origin",
            f"{origin} is not an origin that passkeys work for.",
            hint="Write https://host or https://host:port, in lower case, without a path; "
            "http only for localhost.",
        )
    return host
