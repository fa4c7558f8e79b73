"""What of a member's factors is at hand, and which way in they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from twinlock.agent.arrival import none_kept
from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.scram import Scram
from twinlock.agent.state import LockedState
from twinlock.cli.cards import card_named, smart_card
from twinlock.cli.keyrings import key_in_keyring, key_instead_of_file, keyring_has_key
from twinlock.cli.passkeys import passkey, passkey_named
from twinlock.cli.recovery import ask_recovery_code
from twinlock.cli.service import Service, required
from twinlock.cli.terminal import Terminal
from twinlock.cli.typed import passphrase, typed
from twinlock.cli.who import Who
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Factor
from twinlock.errors import CallerError
from twinlock.keyring.device_key import KeyringDeviceKey


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a member before unlocking: ids, the pinned token, ways in."""

    name: str
    deployment_id: bytes
    member_id: bytes
    pinned: DeploymentCard | None
    enrolments: Sequence[Enrolment]

    @classmethod
    def of(cls, state: LockedState) -> Self:
        """Return what a state file says."""
        ids = (state.deployment_id, state.member_id)
        return cls(state.name, *ids, state.pinned, state.enrolments)


def choose_way(known: Known, who: Who, *, online: bool) -> Enrolment:
    """Return the way in whose factors are at hand. ``online``: a server was named.

    What a person types counts when it is named; a recovery code that is not, only when nothing
    else is left to ask for. The keyring, which may ask its user to unlock it, is looked into only
    when that may change the choice. Raises CallerError ``factor.no-such-way`` or
    ``enrolment.none-kept``.
    """
    if not known.enrolments:
        raise none_kept(known.name)
    ways = [e for e in known.enrolments if who.factors is None or set(e.kinds) == who.factors]
    if not ways:
        raise CallerError(
            "factor.no-such-way",
            f"{known.name} has no way in here with {' and '.join(sorted(who.factors or ()))}.",
            hint="Here open: " + "; ".join("+".join(e.kinds) for e in known.enrolments) + ".",
        )
    has_key = who.in_keyring is not None or who.key_file.exists()
    chosen = min(ways, key=lambda e: _missing(e, who, has_key, online))
    if has_key or who.key is not None or not any(_missing(chosen, who, has_key, online)):
        return chosen
    has_key = keyring_has_key(known)
    return min(ways, key=lambda e: _missing(e, who, has_key, online))


def _missing(enrolment: Enrolment, who: Who, has_key: bool, online: bool) -> tuple[bool, ...]:
    def differs(kind: str, given: str | None) -> bool:
        return (kind in enrolment.kinds) != bool(given)

    return (
        "contacts" in enrolment.kinds,
        "device-key" in enrolment.kinds and not has_key,
        differs("recovery-code", who.recovery_env),
        differs("smart-card", card_named(who.card)),
        differs("passkey", passkey_named(who.passkey)),
        "password" in enrolment.kinds and not online,
        differs("passphrase", who.passphrase_env),
        differs("password", who.password_env),
        differs("scram", who.scram_env),
    )


def factors_for(
    kinds: Iterable[str], terminal: Terminal, who: Who, known: Known, service: Service | None
) -> list[Factor]:
    """Return a member's factors of these kinds; what has to be typed is asked for now.

    Raises ``factor.*``, ``service.unnamed``, ``card.*``, ``keyring.*`` or ``passkey.*``.
    """
    return [_factor(kind, terminal, who, known, service) for kind in kinds]


def device_key(who: Who, known: Known) -> DeviceKey | KeyringDeviceKey:
    """Return the device key: the file or keyring that was named, else whichever has it.

    Raises ``keyring.*``; a file that is not there says so when it is read.
    """
    if who.in_keyring is not None:
        return key_in_keyring(known, who.in_keyring)
    if who.key is None and not who.key_file.exists():
        return key_instead_of_file(known) or DeviceKey(who.key_file)
    return DeviceKey(who.key_file)


def password(
    terminal: Terminal, variable: str | None, prompt: str, known: Known, service: Service | None
) -> Password:
    """Return a hardened password. Raises ``service.unnamed`` and like ``typed``."""
    reachable = required(service, "A hardened password")
    if known.pinned is None:
        raise CallerError(
            "agent.no-identity",
            "This member has pinned no token yet.",
            hint="Create the member with the deployment's card.",
        )
    text = typed(terminal, variable, "password", prompt)
    return Password(text, deployment=known.pinned, service=reachable)


def _factor(
    kind: str, terminal: Terminal, who: Who, known: Known, service: Service | None
) -> Factor:
    name = known.name
    if kind == "device-key":
        return device_key(who, known)
    if kind == "passphrase":
        return passphrase(terminal, who.passphrase_env, f"Passphrase of {name}: ")
    if kind == "password":
        return password(terminal, who.password_env, f"Password of {name}: ", known, service)
    if kind == "scram":
        return Scram(typed(terminal, who.scram_env, "password", f"SCRAM password of {name}: "))
    if kind == "recovery-code":
        return ask_recovery_code(terminal, who.recovery_env, name)
    if kind == "smart-card":
        return smart_card(terminal, who.card).factor()
    if kind == "passkey":
        return passkey(terminal).factor()
    raise CallerError(
        "factor.unsupported",
        f"This way in needs the factor {kind!r}, which cannot be given here.",
        hint="Use another way in (`twinlock member factors`), or a newer version of Twinlock.",
    )
