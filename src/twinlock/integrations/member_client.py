"""Members' agents as programs: an application's member routes, reached with httpx (docs/http.md).

    service = MemberService("https://clinic.example/twinlock/member/", "weber")
    password = Password(typed, deployment=card, service=service)
    agent = arrive_online(service, [password], deployment=card).agent()

Nothing of what the server says is believed here: factors and agent check it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.home import StateHome
from twinlock.agent.revocation import finish_revocation
from twinlock.core.deployment import DeploymentCard
from twinlock.core.factors import Factor
from twinlock.core.hardening.offer import HardeningOffer
from twinlock.core.membership import AgentPlacement
from twinlock.core.ports import Clock
from twinlock.core.scram.exchange import ChannelBinding
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement
from twinlock.integrations.channel_binding import end_point_binding
from twinlock.integrations.member_answers import ServiceRefusedError, encoded
from twinlock.integrations.member_posts import Posts, checked_url
from twinlock.integrations.recovery_client import RecoveryService


class MemberService:
    """One account's way to the member routes under ``url``.

    A ``HardeningService``, a ``ScramService``, and what an agent hands ways in to. The session that
    a sign-in opens is in the cookies of ``client``; what the application answered is in
    ``signed_in``. ``client`` is closed with this object only if it was made here.

    Raises CallerError ``member-service.url`` for an address that is not HTTPS, except on this
    computer. What the server refuses is a ``ServiceRefusedError`` with the server's own code, what
    it fails at a ``ServiceFailedError``; else EnvError ``member-service.unreachable`` or DataError
    ``member-service.answer``.
    """

    def __init__(self, url: str, account: str, *, client: httpx.Client | None = None) -> None:
        self.account = account
        self.signed_in: dict[str, Any] = {}
        self._posts = Posts(checked_url(url), client)
        self._session = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._posts.close()

    @property
    def client(self) -> httpx.Client:
        """The client, whose cookies hold the session: for the application's other pages."""
        return self._posts.client

    @property
    def recoveries(self) -> RecoveryService:
        """The mailbox of recoveries by contacts, where the application has one."""
        return RecoveryService(self.account, self._posts)

    # --- passwords ---------------------------------------------------------------------------

    def offer(self) -> HardeningOffer:
        """See ``HardeningService``."""
        said = self._posts.post("offer", {"account": self.account})
        pairs = said.pairs("directory")
        return HardeningOffer(said.octets("kid"), tuple(Statement(*pair) for pair in pairs))

    def evaluate(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """See ``HardeningService``. Refused with ``hardening.*``."""
        points = {"kid": encoded(kid), "first": encoded(first), "second": encoded(second)}
        said = self._posts.post("evaluate", {"account": self.account, **points})
        return said.octets("first"), said.octets("second")

    # --- ways in -----------------------------------------------------------------------------

    def bundle(self, kinds: Iterable[str], enrolment_id: bytes | None = None) -> bytes:
        """Fetch one enrolment that opens with exactly these factors, for ``Arrival.begin``."""
        asked: dict[str, Any] = {"name": self.account, "kinds": sorted(kinds)}
        if enrolment_id is not None:
            asked["enrolment_id"] = encoded(enrolment_id)
        return self._posts.post("bundle", asked).octets("bundle")

    def full_bundle(self, request: bytes) -> bytes:
        """Fetch all enrolments and the list, for ``Agent.bundle_request`` or ``Arrival.ask``."""
        return self._posts.post("full-bundle", {"request": encoded(request)}).octets("bundle")

    def groups(self, hello: bytes, request: bytes) -> bytes:
        """Fetch what the agent that said ``hello`` needs to follow its groups.

        ``request``: its ``bundle_request``, which proves that it is the member's.
        """
        asked = {"hello": encoded(hello), "request": encoded(request)}
        return self._posts.post("groups", asked).octets("bundle")

    def change(self, change: bytes) -> None:
        """Hand in a change of ways in: ``Ways.enrol(..., send=service.change)``."""
        self._posts.post("change", {"change": encoded(change)})

    # --- signing in --------------------------------------------------------------------------

    def log_in(self, secret: Secret) -> dict[str, Any]:
        """Sign in with ``Password.login_secret`` (SPEC 26); refused with ``login.refused``."""
        asked = {"name": self.account, "secret": encoded(secret.reveal())}
        self.signed_in = self._posts.post("login", asked).all()
        return self.signed_in

    def binding(self) -> ChannelBinding | None:
        """Return what an exchange is bound to: the server's certificate; None without TLS.

        For ``Scram.sign_in(..., binding=...)``, where the application binds. All later answers must
        come from the same certificate. Raises ``scram.certificate`` too.
        """
        # Refused by a deployment without passwords, but by the same server.
        with suppress(ServiceRefusedError):
            self.offer()
        certificate = self._posts.bind()
        return None if certificate is None else end_point_binding(certificate)

    def first(self, client_first: str) -> str:
        """See ``ScramService``."""
        said = self._posts.post("scram/first", {"message": client_first})
        self._session = said.text("session")
        return said.text("message")

    def final(self, client_final: str) -> str:
        """See ``ScramService``. Refused with ``scram.refused``."""
        asked = {"session": self._session, "message": client_final}
        said = self._posts.post("scram/final", asked)
        self.signed_in = {k: v for k, v in said.all().items() if k != "message"}
        return said.text("message")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A member who arrived: the unlocked arrival, and the whole bundle. Nothing is kept yet."""

    arrival: Arrival
    bundle: bytes

    def settle(self, *, factors: Sequence[Factor] = (), home: str | Path | None = None) -> Path:
        """Keep the member on this computer; see ``Arrival.settle``."""
        return self.arrival.settle(self.bundle, factors=factors, home=home)

    def agent(
        self,
        *,
        kept: StateHome | None = None,
        placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM,
    ) -> Agent:
        """Return the unlocked agent; without ``kept`` nothing of it outlives the process."""
        return self.arrival.agent(self.bundle, kept=kept, placement=placement)


def arrive_online(
    service: MemberService,
    factors: Sequence[Factor],
    *,
    deployment: DeploymentCard,
    clock: Clock = lambda: int(time.time()),
) -> Arrived:
    """Unlock the service's account on a computer that knows nothing of it yet (SPEC 28).

    ``factors``: all of one way in that is kept at the server. A name that is no member's looks like
    a wrong password: ``factor.wrong``. Raises like ``MemberService`` and ``Arrival``.
    """
    bundle = service.bundle({factor.kind for factor in factors})
    arrival = Arrival.begin(bundle, factors, deployment=deployment, clock=clock)
    return Arrived(arrival, service.full_bundle(arrival.ask()))


def follow_online(service: MemberService, agent: Agent) -> None:
    """Bring an agent up to date with its groups and its own ways in.

    Raises like ``MemberService``, ``Agent.follow`` and ``Ways.take``.
    """
    agent.follow(service.groups(agent.hello(), agent.bundle_request()))
    agent.ways.take(service.full_bundle(agent.bundle_request()))


def finish_online(
    service: MemberService,
    kept: StateHome,
    factors: Sequence[Factor],
    *,
    clock: Clock = lambda: int(time.time()),
) -> Agent:
    """End a revocation whose change the server accepted; see ``finish_revocation``.

    ``factors`` are those of one of the new ways in.
    """
    return finish_revocation(kept, factors, service.groups, clock=clock)
