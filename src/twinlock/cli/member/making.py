"""What a new way in is made with: files, keys on cards, answers. Undone when it is not made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.scram import Scram
from twinlock.agent.ways import Send
from twinlock.cli.cards import enrolled_key, smart_card
from twinlock.cli.keyrings import keyring_keys
from twinlock.cli.passkeys import passkey
from twinlock.cli.recovery import Place, sheet, write_sheet
from twinlock.cli.service import Service, required
from twinlock.cli.terminal import Terminal
from twinlock.cli.typed import passphrase, typed
from twinlock.core import factors as core_factors
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor, Parameters
from twinlock.core.member_change import Login
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, DataError
from twinlock.keyring.device_key import KeyringDeviceKey


@dataclass(frozen=True, slots=True)
class Asked:
    """Something to type: from this environment variable, or asked for."""

    variable: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The factors that a person named for one way in, and of whom.

    ``sign_in``: a password of it shall sign in, too: the server gets what to compare with.
    """

    name: str
    pinned: DeploymentCard
    key: Path | None = None
    keyring: bool = False
    passphrase: Asked | None = None
    password: Asked | None = None
    scram: Asked | None = None
    sign_in: bool = False
    card: str | None = None
    card_key: str | None = None
    passkey: str | None = None
    recovery: Path | None = None
    service_url: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether no factor was named."""
        named = (self.key, self.keyring, self.passphrase, self.password, self.scram)
        return not any((*named, self.card, self.passkey, self.recovery))


@dataclass(slots=True)
class Made:
    """The factors, ready to enrol, and what to do if nothing comes of it.

    ``needed``: asked then; something that was kept may count on what was made.
    """

    factors: list[EnrollableFactor] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    logins_of: Callable[[Enrolment], Sequence[Login]] = lambda _enrolment: ()
    undo: ExitStack = field(default_factory=ExitStack)
    needed: Callable[[], bool] = lambda: False
    recovery: SecretText | None = None
    page: Path | None = None
    place: Place | None = None

    @property
    def kinds(self) -> list[str]:
        """What the way in needs."""
        return sorted(factor.kind for factor in self.factors)

    def recovery_code(self, place: Place, path: Path) -> RecoveryCode:
        """Make a recovery code and write its page; ``-`` leaves it to ``shown``."""
        code, text = RecoveryCode.create()
        self.page, self.place = path, place
        if str(path) == "-":
            self.recovery = text
        else:
            write_sheet(path, place, text)
            self.undo.callback(path.unlink, missing_ok=True)
        return code

    def handing_over(self, send: Send | None) -> Send | None:
        """Return what hands a change over; what was made is undone only if it was refused.

        When the answer gets lost, the server may have it, and new files are needed.
        """
        if send is None:
            return None

        def sent(change: bytes) -> None:
            self.needed = lambda: True
            try:
                send(change)
            except (CallerError, DataError):
                self.needed = lambda: False
                raise

        return sent

    @property
    def facts(self) -> dict[str, Any]:
        """What the result says about the recovery code."""
        if self.recovery is not None:
            return {"recovery_code": self.recovery.reveal()}
        return {} if self.page is None else {"recovery": str(self.page)}

    @property
    def shown(self) -> list[RenderableType]:
        """The same for people."""
        if self.recovery is not None and self.place is not None:
            return ["\n" + sheet(self.place, self.recovery)]
        return [] if self.page is None else [f"\nPrint {self.page}, then delete it.\n"]


@contextmanager
def making(terminal: Terminal, wanted: Wanted, service: Service | None) -> Iterator[Made]:
    """Make the factors for a block that enrols them; a touch is asked for last.

    Raises ``file.exists``, ``factor.*``, ``service.unnamed``, ``card.*``, ``token.*``,
    ``keyring.*``, ``passkey.*`` or ``scram.*``.
    """
    made = Made()
    try:
        _make(terminal, wanted, service, made)
        yield made
    except BaseException:
        if not made.needed():
            made.undo.close()
        raise


def _make(terminal: Terminal, wanted: Wanted, service: Service | None, made: Made) -> None:
    if wanted.key is not None:
        device = DeviceKey.create(wanted.key)
        made.undo.callback(device.path.unlink, missing_ok=True)
        made.factors.append(device)
    if wanted.keyring:
        keyring_keys()
        made.factors.append(_KeyringKeyToBe(made.undo))
    if wanted.recovery is not None:
        place = Place(wanted.name, wanted.pinned, wanted.service_url)
        made.factors.append(made.recovery_code(place, wanted.recovery))
    _typed(terminal, wanted, service, made)
    if wanted.card is not None:
        card = smart_card(terminal, wanted.card)
        key, is_new = enrolled_key(card, wanted.card_key)
        if is_new:
            made.undo.callback(card.destroy_key, key)
        made.factors.append(card.factor(key))
    if wanted.passkey is not None:
        keys = passkey(terminal)
        made.factors.append(keys.factor(keys.enrol(wanted.passkey, wanted.name)))


def _typed(terminal: Terminal, wanted: Wanted, service: Service | None, made: Made) -> None:
    name = wanted.name
    if wanted.passphrase is not None:
        variable, prompt = wanted.passphrase.variable, f"New passphrase of {name}: "
        made.factors.append(passphrase(terminal, variable, prompt, confirm=True))
    if wanted.password is not None:
        reachable = required(service, "A hardened password")
        variable, prompt = wanted.password.variable, f"New password of {name}: "
        text = typed(terminal, variable, "password", prompt, confirm=True)
        password = Password(text, deployment=wanted.pinned, service=reachable)
        made.factors.append(password)
        if wanted.sign_in:
            made.logins_of = lambda enrolment: [split_login(password, enrolment)]
    if wanted.scram is not None:
        made.factors.append(_scram(terminal, wanted, wanted.scram, service, made))


def _scram(
    terminal: Terminal, wanted: Wanted, asked: Asked, service: Service | None, made: Made
) -> Scram:
    """A new password with its verifier, or the account's, which signs in to learn its salt."""
    name, new = wanted.name, wanted.sign_in
    prompt = f"New SCRAM password of {name}: " if new else f"SCRAM password of {name}: "
    scram = Scram(typed(terminal, asked.variable, "password", prompt, confirm=new))
    if new:
        made.logins.append(Login("scram", scram.new_verifier().to_text().reveal()))
    else:
        scram.meet(name, required(service, "A first SCRAM sign-in"))
    return scram


def split_login(password: Password, enrolment: Enrolment) -> Login:
    """Return what a server compares this password's split login with (SPEC 26)."""
    return Login("split", password.new_login(enrolment))


class _KeyringKeyToBe:
    """A device key that is put into the keyring when it is known whose it will be."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo
        self._key: KeyringDeviceKey | None = None

    @property
    def kind(self) -> str:
        return "device-key"

    def new_parameters(self, randomness: Randomness, place: core_factors.Place) -> Parameters:
        return self._made(place).new_parameters(randomness, place)

    def output(self, parameters: Parameters, place: core_factors.Place) -> Secret:
        return self._made(place).output(parameters, place)

    def _made(self, place: core_factors.Place) -> KeyringDeviceKey:
        if self._key is None:
            self._key = keyring_keys().create(place.deployment_id, place.member_id)
            self._undo.callback(self._key.delete)
        return self._key
