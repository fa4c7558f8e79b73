"""Making a password's enrolment anew when the token's hardening key rotates (SPEC 33)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinlock.agent.agent import Agent
from twinlock.agent.ways import NewWay, Send
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor
from twinlock.core.factors.password import PasswordFactor, take_password_parameters
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
    old enrolment ends. Costs one more evaluation, and only then. Returns whether it was made.
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
        old = listed[enrolment.enrolment_id]
        way = NewWay(factors, old.label, old.at_server)
        agent.ways.enrol(way, instead_of=old.enrolment_id, logins_of=logins, send=send)
        return True
    return False
