"""Making a password's enrolment anew when the token's hardening key rotates (SPEC 33)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twinlock.agent.agent import Agent
from twinlock.agent.factors import Password
from twinlock.agent.ways import NewWay, Send
from twinlock.core.enrolment import Enrolment
from twinlock.core.enrolment_list import Listed
from twinlock.core.factors import EnrollableFactor, Factor, Parameters
from twinlock.core.factors.passkey import PasskeyFactor, take_passkey_parameters
from twinlock.core.factors.password import PasswordFactor, take_password_parameters
from twinlock.core.factors.scram import ScramFactor
from twinlock.core.factors.smart_card import SmartCardFactor, take_card_parameters
from twinlock.core.member_change import SPLIT_ANEW, Login


def renew(
    agent: Agent,
    factors: Sequence[EnrollableFactor],
    *,
    send: Send,
) -> bool:
    """Make the enrolment that ``factors`` just unlocked anew, if the server offers another key.

    The same password, with a fresh salt and enrolment id, under the key that is offered now; the
    old enrolment ends. What stands beside it stays what it was: passkey, key on the card, verifier.
    Costs one more evaluation, and only then. A split login that the server keeps follows. Returns
    whether it was made. Raises like ``Ways.enrol``.
    """
    found = _outdated(agent, factors)
    if found is None:
        return False
    enrolment, old = found
    parameters = dict(enrolment.factors)
    same = [_as_before(factor, parameters[factor.kind]) for factor in factors]
    way = NewWay(same, old.label, old.at_server)

    def split_login(made: Enrolment) -> list[Login]:
        passwords = (factor for factor in same if isinstance(factor, Password))
        return [Login(SPLIT_ANEW, password.new_login(made)) for password in passwords]

    agent.ways.enrol(way, instead_of=old.enrolment_id, logins_of=split_login, send=send)
    return True


def is_outdated(agent: Agent, factors: Sequence[Factor]) -> bool:
    """Say whether ``renew`` would make anything: it asks the server which key it offers."""
    return _outdated(agent, factors) is not None


def _outdated(agent: Agent, factors: Sequence[Factor]) -> tuple[Enrolment, Listed] | None:
    password = next((f for f in factors if isinstance(f, PasswordFactor)), None)
    if password is None:
        return None
    kinds, offered = {factor.kind for factor in factors}, password.offer()
    listed = {way.listed.enrolment_id: way.listed for way in agent.ways.all()}
    for enrolment in agent.ways.state.enrolments:
        if set(enrolment.kinds) == kinds and enrolment.enrolment_id in listed:
            kid, _ = take_password_parameters(dict(enrolment.factors)["password"])
            if kid != offered:
                return enrolment, listed[enrolment.enrolment_id]
    return None


def _as_before(factor: EnrollableFactor, parameters: Parameters) -> EnrollableFactor:
    """Return a factor that a new enrolment is made with as the old one was.

    Unlocking takes credential, card key and salt from the enrolment; whoever only unlocks with them
    has not named them.
    """
    if isinstance(factor, PasskeyFactor):
        return replace(factor, credential=take_passkey_parameters(parameters)[0])
    if isinstance(factor, SmartCardFactor):
        key, _ = take_card_parameters(parameters)
        return replace(factor, offer=lambda: key)
    if isinstance(factor, ScramFactor):
        return factor.with_verifier(parameters)
    return factor
