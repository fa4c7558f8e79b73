"""The factors as a member holds them: a key file on this computer, words to type."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path
from typing import Protocol, Self

from twinlock.agent.device_keys import load_device_key, save_device_key
from twinlock.core import cbor
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment, unlock
from twinlock.core.factors import Factor, Parameters, Place
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.factors.password import PasswordFactor
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.keyfile import KEY_SIZE
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.membership import Invitation
from twinlock.core.ports import Clock, Randomness
from twinlock.core.secret import Secret
from twinlock.core.statements import verify_directory
from twinlock.errors import CallerError


class DeviceKey:
    """The factor of a device key file. The file is read when it is needed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._factor = DeviceKeyFactor(lambda: load_device_key(self.path))

    @property
    def kind(self) -> str:
        """``device-key``."""
        return self._factor.kind

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:
        """See ``DeviceKeyFactor``."""
        return self._factor.new_parameters(randomness, place)

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """See ``DeviceKeyFactor``. Raises ``file.*`` or ``key-file.damaged``."""
        return self._factor.output(parameters, place)

    @classmethod
    def create(cls, path: str | Path, *, randomness: Randomness = os.urandom) -> Self:
        """Make a new device key file with mode 0600. Raises ``file.exists``."""
        save_device_key(Path(path), Secret(randomness(KEY_SIZE)))
        return cls(path)


class HardeningService(Protocol):
    """The server's side of a password, as an agent reaches it for one account."""

    def offer(self) -> HardeningOffer:
        """Return the token directory and the key for a new enrolment."""
        ...

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """Have both points evaluated. Raises ``hardening.*``."""
        ...


class Password(PasswordFactor):
    """A password that the token hardens.

    ``deployment`` pins the token: the card or invitation that came from outside the server.
    ``service`` reaches the server; nothing of what it says is believed without that pin.
    """

    def __init__(
        self,
        text: str,
        *,
        deployment: DeploymentCard | Invitation,
        service: HardeningService,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        def pinned(kid: bytes) -> bytes:
            directory = verify_directory(
                service.offer().statements,
                deployment_id=deployment.deployment_id,
                fingerprint=deployment.identity_fingerprint,
                now=clock(),
            )
            return directory.hardening_point(kid)

        super().__init__(
            lambda: text, lambda: service.offer().kid, pinned, service.evaluate, randomness
        )
        # The base is frozen; what this object keeps is not more than the password that it has.
        object.__setattr__(self, "_known", {})

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """See ``PasswordFactor``; logging in and unlocking cost one evaluation together."""
        known: dict[bytes, Secret] = self.__dict__["_known"]
        ids = [place.deployment_id, place.member_id, place.enrolment_id]
        name = cbor.encode([*ids, parameters])
        if name not in known:
            known[name] = super().output(parameters, place)
        return known[name]

    def login_secret(self, enrolment: Enrolment, *others: Factor) -> Secret:
        """Return 32 bytes to log in to an application with (SPEC 26): send them over TLS.

        The enrolment is unlocked first, with ``others`` where it needs more than the password: only
        what opened it may leave. They change with the enrolment, so that the application takes a
        new verifier then. Raises like ``core.enrolment.unlock``, ``output`` and ``new_login``.
        """
        parameters = self._parameters_in(enrolment)
        unlock(enrolment, [self, *others])
        return login_secret(self.output(parameters, enrolment.place))

    def new_login(self, made: Enrolment) -> bytes:
        """Return what the application is to compare logins by an enrolment just made with.

        Raises CallerError ``factor.missing`` for one without a password.
        """
        secret = login_secret(self.output(self._parameters_in(made), made.place))
        return login_verifier(made.member_id, secret)

    def _parameters_in(self, enrolment: Enrolment) -> Parameters:
        parameters = dict(enrolment.factors).get(self.kind)
        if parameters is None:
            raise CallerError(
                "factor.missing",
                f"This enrolment opens with {' and '.join(enrolment.kinds)}, not with a password.",
                hint="Use another enrolment.",
            )
        return parameters


class Passphrase(PassphraseFactor):
    """A passphrase. ``Passphrase.prompt()`` asks on the terminal when it is needed."""

    def __init__(self, text: str) -> None:
        super().__init__(lambda: text)

    @staticmethod
    def prompt(prompt: str = "Passphrase: ", *, confirm: bool = False) -> PassphraseFactor:
        """Ask without echo; with ``confirm`` twice. The answer is kept for this factor only."""
        answers: list[str] = []

        def ask() -> str:
            if not answers:
                text = getpass.getpass(prompt)
                if confirm and getpass.getpass("Once more: ") != text:
                    raise CallerError(
                        "factor.passphrase-mismatch",
                        "The two passphrases differ.",
                        hint="Run the command again.",
                    )
                answers.append(text)
            return answers[0]

        return PassphraseFactor(ask)
