"""Passwords, SCRAM, recovery codes and a smart card: everything logged, and no secret in it.

By nature a trace shows the PIN and a card's PIN in C_Login, StoredKey and ServerKey where the token
locks and unlocks them, and a card's answer where the member's computer reads it.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Final

from attacks.factor_accounts import NEW_PASSWORD, PASSWORDS
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.logs_everything import ceremony, must_show, search, spied
from attacks.world import PIN, World

_PHASES: Final = ("enrol", "sign-in", "change", "fail")
_KINDS: Final = (
    *("password", "scram password", "new password", "password's hash", "login secret"),
    *("ClientKey", "verifier", "recovery code", "card pin", "card's answer", "pin", "secret"),
)
_BY_NATURE: Final = {
    "pin": ("C_Login",),
    "card pin": ("C_Login",),
    "verifier": ("C_Encrypt", "C_Decrypt"),
    "card's answer": ("C_GetAttributeValue",),
}
_CARD_PIN: Final = "card-0815-4711"
_MODULE: Final = sys.modules[__name__]
_numbers: Final = itertools.count(1)
weakness = ""
"""The weakened build that the ceremony's process runs."""


def _weak(name: str) -> Mutation:
    return Mutation(name, lambda: weakened((_MODULE, "weakness", name)))


@attack(
    id="factor-logs",
    claim="password-server",
    attack=20,
    says="enrolling, signing in, changing and failing, with every call, statement and error logged",
    mutations=[
        _weak("secrets show themselves"),
        _weak("an application stores login secrets"),
        _weak("ClientKey is locked in the verifier"),
    ],
    databases=False,
)
def factor_logs(world: World, trial: Trial) -> None:
    """Passwords, their hashes, ClientKey, codes and PINs are looked for in every common form."""
    job = {
        "password": PASSWORDS["ada"],
        "new password": NEW_PASSWORD,
        "scram password": PASSWORDS["dan"],
        "pin": PIN,
        "card pin": _CARD_PIN,
        "wrong pin": _CARD_PIN[::-1],
        "card": spied(world, _card(world)),
    }
    logs = ceremony(world, "attacks.factor_ceremony", weakness, job, _PHASES, _KINDS)
    search(trial, logs, lambda call, kind: call in _BY_NATURE.get(kind, ()))
    if not trial.weakened:
        shown = (("C_Login", "pin"), ("C_Login", "card pin"), ("C_Encrypt", "verifier"))
        must_show(logs, [("enrol", *said) for said in shown])


def _card(world: World) -> str:
    """Make a token that stands for a smart card; return its URI."""
    label = f"card {next(_numbers)}"
    tool = os.environ.get("TWINLOCK_SOFTHSM_UTIL") or "softhsm2-util"
    command = [tool, "--init-token", "--free", "--label", label, "--pin", _CARD_PIN]
    subprocess.run([*command, "--so-pin", "5678"], check=True, capture_output=True)
    return f"pkcs11:token={label.replace(' ', '%20')}?module-path={world.token_place.module}"
