"""Making a password's enrolment anew when the token's hardening key rotates (SPEC 33)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from twinlock.agent.agent import Agent
from twinlock.agent.ways import NewWay, Send
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor, Parameters
from twinlock.core.factors.passkey import PasskeyFactor, take_passkey_parameters
from twinlock.core.factors.password import PasswordFactor, take_password_parameters
from twinlock.core.factors.scram import ScramFactor
from twinlock.core.factors.smart_card import SmartCardFactor, take_card_parameters
from twinlock.core.member_change import Login


def renew(
    agent: Agent,
    factors: Sequence[EnrollableFactor],
    *,
    send: Send,
    logins: Callable[[Enrolment], Sequence[Login]] = lambda _: (),
) -> bool:
    """Make the enrolment that ``factors`` just unlocked anew, if the server offers another key.

    The same password, with a fresh salt and enrolment id, under the key that is offered now; the
    old enrolment ends. What stands beside it stays what it was: passkey, key on the card, verifier.
    Costs one more evaluation, and only then. Returns whether it was made.
    ``logins``: what sign-ins by the new enrolment are compared with. Raises like ``Ways.enrol``.
    """
    password = next((f for f in factors if isinstance(f, PasswordFactor)), None)
    if password is None:
        return False
    kinds = {factor.kind for factor in factors}
    listed = {way.listed.enrolment_id: way.listed for way in agent.ways.all()}
    for enrolment in agent.ways.state.enrolments:
        if set(enrolment.kinds) != kinds or enrolment.enrolment_id not in listed:
            continue
        kid, _ = take_password_parameters(dict(enrolment.factors)["password"])
        if kid == password.offer():
            continue
        old, parameters = listed[enrolment.enrolment_id], dict(enrolment.factors)
        same = [_as_before(factor, parameters[factor.kind]) for factor in factors]
        way = NewWay(same, old.label, old.at_server)
        agent.ways.enrol(way, instead_of=old.enrolment_id, logins_of=logins, send=send)
        return True
    return False


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
