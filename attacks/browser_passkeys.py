"""Passkeys of the agent in Chromium: scripts that ask for a touch, or for more than it is for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attacks.browser_agent import weaker_source
from attacks.browser_pages import VICTIM, Page, on_stage
from attacks.harness import Trial, attack
from attacks.node_peer import Patch
from attacks.tools import CHROMIUM
from attacks.world import PASSPHRASE, World
from twinlock.core.enrolment import decode_enrolment, unlock
from twinlock.core.factors.passkey import PasskeyFactor
from twinlock.core.member_change import decode_member_change
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.integrations.asgi.wire import to_base64url
from twinlock.server.passkeys import PasskeyChallenge, PasskeyLogin

_QUIET_MS: Final = 3000
_TOUCH_MS: Final = 15_000


class _Application:
    """What an application does with passkeys, and what the victim registered there."""

    def __init__(self, page: Page) -> None:
        origins = page.stage.origins
        self.member_id = page.stage.world.agents[VICTIM].member_id
        self._login = PasskeyLogin(
            audience=origins.app, agent_origin=origins.agent, unknown=Secret(os.urandom(32))
        )
        news = page.stage.world.vault.group_bundle(page.hello(os.urandom(32)))
        page.play("carry", groups=news.hex())
        made = page.play("addPasskey", passphrase=PASSPHRASE)
        change, _, _ = decode_member_change(bytes.fromhex(made["change"]["hex"]))
        blobs = [decode_enrolment(blob) for blob in change.blobs]
        self.enrolment = next(blob for blob in blobs if blob.kinds == ("passkey",))
        nonce = bytes.fromhex(made["nonce"]["hex"])
        self._stored = self._login.finish_registration(
            PasskeyChallenge(nonce, int(time.time())),
            _registration(made["registration"]),
            member_id=self.member_id,
        )

    def begin(self) -> PasskeyChallenge:
        """A nonce for one sign-in."""
        return self._login.begin(VICTIM, [self._stored])

    def accepts(self, challenge: PasskeyChallenge, answers: Sequence[Mapping[str, Any]]) -> bool:
        """Whether what the page got signs the victim in."""
        for answer in answers:
            if answer.get("answer") != "sign-in":
                continue
            try:
                self._login.finish(
                    challenge,
                    _assertion(answer),
                    member_id=self.member_id,
                    stored=[self._stored],
                )
            except TwinlockError:
                continue
            return True
        return False

    def opens(self, answers: Sequence[Mapping[str, Any]]) -> bool:
        """Whether any bytes that left the agent are the PRF's, and open the enrolment."""
        for value in (value for answer in answers for value in _bytes_in(answer)):
            factor = PasskeyFactor(_answering(value))
            try:
                unlock(self.enrolment, [factor])
            except TwinlockError:
                continue
            return True
        return False


@attack(
    id="browser-passkeys",
    claim="agent-origin",
    attack=19,
    says="scripts of applications ask for a touch: unpressed, for another application, for the PRF",
    mutations=[
        weaker_source(
            "the window asks the authenticator by itself",
            Patch(
                "agent/view/sign-in.ts",
                "    this.#guarded.arm();\n    this.#focus();",
                "    this.#guarded.arm();\n    void this.#submit();",
            ),
        ),
        weaker_source(
            "the agent signs for its first application, whichever asks",
            Patch(
                "agent/passkeys.ts",
                "[SIGN_IN, audience.origin, copy(audience.nonce)]",
                "[SIGN_IN, (document.querySelector('meta[name=\"twinlock-origins\"]') as "
                'HTMLMetaElement).content.split(" ")[0]!, copy(audience.nonce)]',
            ),
        ),
        weaker_source(
            "the answer has what the PRF gave",
            Patch(
                "agent/passkeys.ts",
                "userHandle: response.userHandle && copyOf(response.userHandle)",
                "userHandle: prfOf(credential)",
            ),
        ),
    ],
    databases=False,
    needs=[CHROMIUM],
)
def browser_passkeys(world: World, trial: Trial) -> None:
    """The victim has a passkey for one application, and uses another one, too."""
    with on_stage(world, two_applications=True) as stage:
        stage.unlock()
        page = stage.page(stage.origins.app)
        if not page.embed():
            raise LookupError("the agent does not answer its application: nothing is proved")
        application = _Application(page)

        challenge = application.begin()
        touched = _asked(page, challenge, press=True)
        if not trial.weakened and not application.accepts(challenge, touched):
            raise LookupError("the passkey does not sign in: nothing is proved")
        with trial.attempt("the PRF in what the page gets") as attempt:
            attempt.says(application.opens(touched))

        challenge = application.begin()
        with trial.attempt("a touch that nobody pressed for") as attempt:
            attempt.says(bool(_bytes_of(_asked(page, challenge, press=False))))

        other = stage.page(stage.origins.sibling)
        other.embed()
        challenge = application.begin()
        with trial.attempt("another application relays this one's nonce") as attempt:
            attempt.says(application.accepts(challenge, _asked(other, challenge, press=True)))


def _answering(value: bytes) -> Callable[[str, bytes, bytes], Secret]:
    return lambda _rp_id, _credential_id, _salt: Secret(value)


def _asked(page: Page, challenge: PasskeyChallenge, *, press: bool) -> list[dict[str, Any]]:
    patience = _TOUCH_MS if press else _QUIET_MS
    answers = page.play("signIn", nonce=challenge.nonce, press=press, patience=patience)
    return [
        {
            name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
            for name, value in answer.items()
        }
        for answer in answers
    ]


def _bytes_in(answer: Mapping[str, Any]) -> list[bytes]:
    return [value for value in answer.values() if isinstance(value, bytes)]


def _bytes_of(answers: Sequence[Mapping[str, Any]]) -> list[bytes]:
    return [value for answer in answers for value in _bytes_in(answer)]


def _named(raw_id: bytes, attachment: str | None) -> dict[str, Any]:
    text = to_base64url(raw_id)
    return {
        "id": text,
        "rawId": text,
        "type": "public-key",
        "authenticatorAttachment": attachment,
    }


def _assertion(answer: Mapping[str, Any]) -> dict[str, Any]:
    """SPEC 29's object, as the page's client builds it."""
    handle = answer["userHandle"]
    return {
        **_named(answer["rawId"], answer["attachment"]),
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": to_base64url(answer["clientData"]),
            "authenticatorData": to_base64url(answer["authenticatorData"]),
            "signature": to_base64url(answer["signature"]),
            "userHandle": None if handle is None else to_base64url(handle),
        },
    }


def _registration(given: Mapping[str, Any]) -> dict[str, Any]:
    def text(name: str) -> str:
        return to_base64url(bytes.fromhex(given[name]["hex"]))

    return {
        **_named(bytes.fromhex(given["rawId"]["hex"]), given["attachment"]),
        "clientExtensionResults": {"prf": {"enabled": True}},
        "response": {
            "clientDataJSON": text("clientData"),
            "attestationObject": text("attestation"),
            "transports": given["transports"],
        },
    }
