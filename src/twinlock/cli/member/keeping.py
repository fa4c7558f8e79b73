"""The factors of ways in that stay when a member makes new keys: each is needed once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from twinlock.agent.device_keys import load_device_key
from twinlock.agent.factors import DeviceKey
from twinlock.agent.scram import Scram
from twinlock.agent.ways import WayIn
from twinlock.cli.at_hand import Known, password
from twinlock.cli.cards import smart_card
from twinlock.cli.keyrings import keyring_keys
from twinlock.cli.member.options import short_id
from twinlock.cli.passkeys import passkey
from twinlock.cli.recovery import ask_recovery_code
from twinlock.cli.service import Service
from twinlock.cli.terminal import Terminal
from twinlock.cli.typed import passphrase, typed
from twinlock.cli.who import Who
from twinlock.core.enrolment import Enrolment, unlock
from twinlock.core.factors import EnrollableFactor, Parameters
from twinlock.core.factors.passkey import take_passkey_parameters
from twinlock.core.factors.scram import take_scram_parameters
from twinlock.core.factors.smart_card import take_card_parameters
from twinlock.errors import CallerError, DataError, TwinlockError

if TYPE_CHECKING:
    from twinlock.card.smart_card import SmartCard
    from twinlock.passkey.passkey import Passkey


@dataclass(frozen=True, slots=True)
class Staying:
    """A way in and the factors that open it now, ready to be enrolled anew."""

    way: WayIn
    factors: Sequence[EnrollableFactor]


def called(way: WayIn) -> str:
    """Return what people call a way in."""
    kinds = " and ".join(way.listed.kinds)
    return f"{way.listed.label or short_id(way.listed.enrolment_id)} ({kinds})"


class Keeping:
    """Asks for the factors of ways in, and tries them: a slip would lock their owner out."""

    def __init__(self, terminal: Terminal, who: Who, known: Known, service: Service | None) -> None:
        self._terminal = terminal
        self._who = who
        self._known = known
        self._service = service
        self._label = ""

    def all(self, ways: Sequence[WayIn]) -> list[Staying]:
        """Return the factors of each. Raises CallerError ``revocation.not-at-hand``, for all that
        cannot stay at once."""
        staying, missing = [], []
        for way in ways:
            try:
                staying.append(Staying(way, self._opening(way)))
            except TwinlockError as error:
                missing.append(f"{called(way)}: {error.message}")
        if missing:
            raise CallerError(
                "revocation.not-at-hand",
                "These ways in cannot stay, because what opens them is not at hand. "
                + " ".join(missing),
                hint="Bring it, or give the way in up with --lost WAY.",
            )
        return staying

    def _opening(self, way: WayIn) -> Sequence[EnrollableFactor]:
        found = {e.enrolment_id: e for e in self._known.enrolments}
        enrolment = found.get(way.listed.enrolment_id)
        if enrolment is None:
            raise CallerError(
                "revocation.elsewhere",
                "Its enrolment is on another computer alone.",
                hint="Revoke on that computer, or give the way in up with --lost WAY.",
            )
        self._label = called(way)
        choices = [self._choices(kind, values) for kind, values in enrolment.factors]
        return _first_that_opens(enrolment, product(*choices))

    def _choices(self, kind: str, parameters: Parameters) -> Sequence[EnrollableFactor]:
        make: Mapping[str, Callable[[Parameters], Sequence[EnrollableFactor]]] = {
            "device-key": self._device_keys,
            "passphrase": self._passphrase,
            "password": self._password,
            "scram": self._scram,
            "recovery-code": self._recovery_code,
            "smart-card": self._smart_card,
            "passkey": self._passkey,
        }
        if kind not in make:
            raise CallerError(
                "factor.unsupported",
                f"The factor {kind!r} cannot be given here.",
                hint="Make such a way in anew afterwards.",
            )
        return make[kind](parameters)

    def _device_keys(self, _parameters: Parameters) -> Sequence[EnrollableFactor]:
        """Every key that is here: which one this way in was made with, only trying tells."""
        who, known = self._who, self._known
        named = [who.key_file] if who.in_keyring is None and who.key_file.exists() else []
        around = sorted(who.home.glob(f"{who.name}.*key")) + sorted(who.home.glob("*.key"))
        paths = {path.resolve(): path for path in [*named, *filter(_is_device_key, around)]}
        files = [DeviceKey(path) for path in paths.values()]
        try:
            kept = keyring_keys().all_of(known.deployment_id, known.member_id)
        except TwinlockError:
            kept = []
        if not files and not kept:
            raise CallerError(
                "revocation.no-key",
                "There is no device key file here, and none in the keyring.",
                hint="Name its file with --key.",
            )
        return [*files, *kept]

    def _passphrase(self, _parameters: Parameters) -> Sequence[EnrollableFactor]:
        prompt = f"Passphrase of {self._label}: "
        return [passphrase(self._terminal, self._who.passphrase_env, prompt)]

    def _password(self, _parameters: Parameters) -> Sequence[EnrollableFactor]:
        prompt = f"Password of {self._label}: "
        variable = self._who.password_env
        return [password(self._terminal, variable, prompt, self._known, self._service)]

    def _scram(self, parameters: Parameters) -> Sequence[EnrollableFactor]:
        salt, iterations = take_scram_parameters(parameters)
        prompt = f"SCRAM password of {self._label}: "
        text = typed(self._terminal, self._who.scram_env, "password", prompt)
        return [Scram(text, salt=salt, iterations=iterations)]

    def _recovery_code(self, _parameters: Parameters) -> Sequence[EnrollableFactor]:
        return [ask_recovery_code(self._terminal, self._who.recovery_env, self._label)]

    def _smart_card(self, parameters: Parameters) -> Sequence[EnrollableFactor]:
        key, _ = take_card_parameters(parameters)
        return [self._card.factor(key)]

    def _passkey(self, parameters: Parameters) -> Sequence[EnrollableFactor]:
        credential, _ = take_passkey_parameters(parameters)
        return [self._keys.factor(credential)]

    @cached_property
    def _card(self) -> SmartCard:
        return smart_card(self._terminal, self._who.card)

    @cached_property
    def _keys(self) -> Passkey:
        return passkey(self._terminal)


def _is_device_key(path: Path) -> bool:
    """A folder may have other files of that ending, such as a server's writer key."""
    try:
        load_device_key(path)
    except TwinlockError:
        return False
    return True


def _first_that_opens(
    enrolment: Enrolment, sets: Iterator[tuple[EnrollableFactor, ...]]
) -> Sequence[EnrollableFactor]:
    refused: DataError | None = None
    for factors in sets:
        try:
            unlock(enrolment, factors)
        except DataError as error:
            if error.code != "factor.wrong":
                raise
            refused = error
        else:
            return factors
    raise refused or CallerError(
        "factor.missing",
        f"This way in opens with {' and '.join(enrolment.kinds)}.",
        hint="Give exactly these, or use another one.",
    )
