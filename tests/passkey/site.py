"""An application whose members sign in with passkeys, in software from end to end."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.passkey.browser import AGENT, APPLICATION, SoftwareBrowser
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server.passkeys import PasskeyChallenge, PasskeyLogin, PasskeySignIn

KIM, WEBER = b"k" * 16, b"w" * 16
UNKNOWN = Secret(b"a secret of the application, 32b")
START = 1_800_000_000
Json = dict[str, Any]


@dataclass
class Site:
    """An application with its passkeys, a clock of its own, and one browser."""

    browser: SoftwareBrowser = field(default_factory=SoftwareBrowser)
    audience: str = APPLICATION
    now: int = START
    stored: list[bytes] = field(default_factory=list)
    member_id: bytes = KIM

    @property
    def login(self) -> PasskeyLogin:
        return PasskeyLogin(
            audience=self.audience,
            agent_origin=AGENT,
            unknown=UNKNOWN,
            clock=lambda: self.now,
        )

    def register(self) -> bytes:
        challenge = self.login.begin_registration(self.stored)
        response = self.browser.register(sent(challenge), self.member_id)
        self.stored.append(
            self.login.finish_registration(challenge, response, member_id=self.member_id)
        )
        return self.stored[-1]

    def answered(self, account: str | None = "kim") -> tuple[PasskeyChallenge, Json]:
        challenge = self.login.begin(account, [] if account is None else self.stored)
        return challenge, self.browser.sign_in(sent(challenge))[0]

    def finish(self, challenge: PasskeyChallenge, response: Json) -> PasskeySignIn:
        return self.login.finish(challenge, response, member_id=self.member_id, stored=self.stored)

    def sign_in(self) -> PasskeySignIn:
        return self.finish(*self.answered())


def sent(challenge: PasskeyChallenge) -> Json:
    """The options, as JSON carries them."""
    return json.loads(json.dumps(challenge.options))


def refusal(call: Callable[[], object], code: str = "passkey.refused") -> CallerError:
    with pytest.raises(CallerError) as refused:
        call()
    assert refused.value.code == code
    return refused.value


def changed(response: Json, path: str, value: Any) -> Json:
    made = copy.deepcopy(response)
    *parents, last = path.split(".")
    at = made
    for parent in parents:
        at = at[parent]
    if value is ...:
        del at[last]
    else:
        at[last] = value(at[last]) if callable(value) else value
    return made
