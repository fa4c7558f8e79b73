"""The table: every way in that people use, and what has to come of it.

A pair that is not here is in ``NOT_SENSIBLE``, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

HERE = "on the member's own computers alone"
BY_NAME = "at the server, for whoever names the member"
BY_OPERATOR = "at the server, handed out by an operator or to an unlocked member"

WITHIN = "with the member"
LATER = "as a further way in"


@dataclass(frozen=True)
class Row:
    """One way in. ``things``: what it takes, by the names of ``THINGS``.

    ``kept``: where its enrolment lies. ``made``: whether the member begins with it. ``alone``: the
    code by which it is refused as a new member's only way in. ``back``: the other way in, by which
    a member comes back who has lost this one. ``lenient``: its group makes exceptions for it.
    """

    things: tuple[str, ...]
    kept: str = BY_NAME
    made: str = WITHIN
    alone: str = ""
    back: str = "recovery-code"
    lenient: bool = False

    @property
    def name(self) -> str:
        return "+".join(self.things)


def row(name: str, kept: str = BY_NAME, made: str = WITHIN, **more: str | bool) -> Row:
    return Row(tuple(name.split("+")), kept, made, **more)  # type: ignore[arg-type]


SOLE_PASSKEY = "enrolment.sole-passkey"

SINGLE = [
    row("passphrase", HERE),
    row("password", BY_NAME, LATER),
    row("scram", HERE, LATER, alone="factor.scram-alone", lenient=True),
    row("device-key", back="contacts"),
    row("device-key in keyring", BY_NAME, LATER),
    row("recovery-code", back="device-key"),
    row("passkey", alone=SOLE_PASSKEY),
    row("smart-card", BY_OPERATOR),
    row("contacts", BY_OPERATOR, LATER),
]

PAIRS = [
    row("password+device-key", BY_NAME, LATER),
    row("passphrase+device-key"),
    row("scram+device-key", BY_NAME, LATER),
    row("password+device-key in keyring", BY_NAME, LATER),
    row("passkey+password", alone=SOLE_PASSKEY),
    row("passkey+passphrase", alone=SOLE_PASSKEY),
    row("passkey+scram", BY_NAME, LATER, alone=SOLE_PASSKEY),
    row("passkey+device-key", alone=SOLE_PASSKEY, back="password"),
    row("smart-card+password", BY_OPERATOR),
    row("smart-card+passphrase", BY_OPERATOR),
    row("smart-card+scram", BY_OPERATOR, LATER),
    row("smart-card+device-key", BY_OPERATOR, back="contacts"),
    row("recovery-code+password", BY_NAME, back="device-key"),
    row("recovery-code+passphrase", BY_NAME, back="device-key"),
    row("contacts+password", BY_OPERATOR, LATER),
    row("contacts+passphrase", BY_OPERATOR, LATER),
]

TRIPLES = [
    row("password+device-key+passkey", alone=SOLE_PASSKEY),
    row("scram+device-key+smart-card", BY_OPERATOR, LATER),
    row("contacts+recovery-code+passphrase", BY_OPERATOR, LATER, back="device-key"),
]

ROWS = [*SINGLE, *PAIRS, *TRIPLES]

_TYPED = "two things to type for what one keeps out; an attacker who sees one typed sees the other"
_DRAWER = "two things to have and none to know: whoever finds the drawer has both, and losing one"
_AFTER = "contacts are for somebody who has lost what there was to have"
_SIGNS_IN = "a way back has no sign-in to go with it; a password or a passphrase does the same"

NOT_SENSIBLE = {
    ("passphrase", "password"): _TYPED,
    ("passphrase", "scram"): _TYPED,
    ("password", "scram"): f"{_TYPED}; as easy to guess as scram is (SPEC 27)",
    ("recovery-code", "scram"): _SIGNS_IN,
    ("contacts", "scram"): _SIGNS_IN,
    ("device-key", "recovery-code"): f"{_DRAWER} is losing the way in",
    ("passkey", "recovery-code"): f"{_DRAWER} is losing the way in",
    ("recovery-code", "smart-card"): f"{_DRAWER} is losing the way in",
    ("passkey", "smart-card"): "two devices of one purpose in one pocket",
    ("contacts", "device-key"): _AFTER,
    ("contacts", "passkey"): _AFTER,
    ("contacts", "smart-card"): _AFTER,
    ("contacts", "recovery-code"): "somebody with the code needs no contacts; as a triple it is in",
}
