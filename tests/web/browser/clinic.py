"""A small clinic behind the real middleware, and the agent's site beside it, on loopback ports."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from twinlock import Context
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay
from twinlock.core.member_change import Login
from twinlock.core.membership import Policy
from twinlock.integrations.agent_site import AgentSite
from twinlock.integrations.asgi import MemberRoutes, SignedIn
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.server.groups import Group
from twinlock.server.passkeys import PasskeyLogin
from twinlock.server.records import Stored
from twinlock.server.setup import add_hardening_key, add_verifier_key, deployment_card
from twinlock.testing import memory_vault
from twinlock.testing.deployment import MemoryDeployment

PASSPHRASE = "calm green harbour 1874"
SCRAM_PASSWORD = "Bäckerei um die Ecke"
BUDGET = 40
ROWS = 60
COOKIE = "clinic_session"


@dataclass(frozen=True)
class Clinic:
    """Where everything is. ``sibling`` and ``stranger`` serve the clinic's pages as foreigners."""

    app: str
    agent: str
    sibling: str
    stranger: str
    key_file: Path
    state_file: Path
    letters: list[str]


@contextmanager
def running_clinic(built: Path, *, scram: bool = False) -> Iterator[Clinic]:
    """Found the deployment, seal some patients, and serve application and agent.

    With ``scram`` the member has an account of SCRAM, too.
    """
    with memory_vault(groups={}) as made, _sockets(2) as sockets:
        app_port, agent_port = (each.getsockname()[1] for each in sockets)
        clinic = Clinic(
            f"http://clinic.localhost:{app_port}",
            f"http://agent.clinic.localhost:{agent_port}",
            f"http://evil.clinic.localhost:{app_port}",
            f"http://stranger.localhost:{app_port}",
            made.founding.folder / "weber.key",
            made.founding.folder / "weber.member",
            [],
        )
        for add in (add_hardening_key, add_verifier_key):
            add(made.vault.store, made.token, made.config, now=int(time.time()))
        weber = _member(made, clinic)
        card = deployment_card(made.config)
        site = AgentSite(built, origins=[clinic.app], title="Clinic agent", deployment=card)
        application = _application(made, weber, clinic, (built / "client.js").read_bytes())
        if scram:
            _enrol_scram(made, weber, clinic)
        with _served([application, site], sockets):
            yield clinic


def _member(made: MemoryDeployment, clinic: Clinic) -> Agent:
    key = DeviceKey.create(clinic.key_file)
    factors = [key, Passphrase(PASSPHRASE)]
    create_member("weber", factors, deployment=deployment_card(made.config))
    return Agent.unlock("weber", *factors)


def _groups(made: MemoryDeployment, weber: Agent) -> tuple[Group, Group]:
    policy = Policy(outer_suites=made.config.accept, budget_per_hour=BUDGET)
    ward = made.founding.group("cardiology", policy, [weber])
    emergency = made.founding.group("emergency", replace(policy, click_each=True), [weber])
    return ward, emergency


def _enrol_scram(made: MemoryDeployment, weber: Agent, clinic: Clinic) -> None:
    """Give weber an account of SCRAM, whose password and key file are another way in."""
    scram = Scram(SCRAM_PASSWORD)
    verifier = scram.new_verifier().to_text().reveal()
    weber.ways.enrol(
        NewWay([scram, DeviceKey(clinic.key_file)]),
        logins=[Login("scram", verifier)],
        send=made.vault.members.accept,
    )


def _sealed(
    made: MemoryDeployment, group: Group, table: str, count: int
) -> list[tuple[Context, Stored]]:
    contexts = [Context(table=table, record=4711 + at, column="diagnosis") for at in range(count)]
    return [(c, made.vault.seal(f"finding {c.record}", to=group, context=c)) for c in contexts]


def _application(made: MemoryDeployment, weber: Agent, clinic: Clinic, client: bytes) -> ASGIApp:
    ward, emergency = _groups(made, weber)
    patients = _sealed(made, ward, "patients", ROWS)
    night = _sealed(made, emergency, "admissions", 2)
    app = FastAPI()

    @app.get("/")
    def page() -> Response:
        policy = f"default-src 'self'; frame-src {clinic.agent}"
        answer = HTMLResponse(_PAGE, headers={"Content-Security-Policy": policy})
        answer.set_cookie(COOKIE, secrets.token_urlsafe(24), httponly=True, samesite="strict")
        return answer

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/client.js")
    def library() -> Response:
        return Response(client, media_type="text/javascript")

    @app.get("/page.js")
    def script() -> Response:
        return Response(_SCRIPT.replace("AGENT", clinic.agent), media_type="text/javascript")

    @app.get("/patients")
    async def list_patients(
        release: Annotated[Releases, Depends(releases(purpose="ward round"))], n: int, at: int = 0
    ) -> list[str]:
        return [o.text().reveal() for o in await release.open(patients[at : at + n])]

    @app.get("/night")
    async def list_night(
        release: Annotated[Releases, Depends(releases(purpose="night call"))],
    ) -> list[str]:
        return [o.text().reveal() for o in await release.open(night)]

    def letter_items() -> list[tuple[Context, Stored]]:
        return patients[:1]

    to_letter = Depends(releases(purpose="letter", items=letter_items))

    @app.post("/letters")
    async def write_letter(request: Request, release: Releases = to_letter) -> str:
        text = (await request.body()).decode()
        clinic.letters.append(f"{text}: {release.loaded[0].text().reveal()}")
        return clinic.letters[-1]

    _add_signing_in(app, made, weber, clinic)
    return TwinlockMiddleware(
        app,
        vault=made.vault,
        session=lambda connection: connection.cookies.get(COOKIE),
        member=lambda _: weber.member_id,
    )


def _add_signing_in(app: FastAPI, made: MemoryDeployment, weber: Agent, clinic: Clinic) -> None:
    """Every visitor has a session cookie. It is signed in by the member routes, or by a request
    that stands for the application's own login form."""
    sessions: set[str] = set()

    def welcome(who: SignedIn) -> dict[str, str]:
        sessions.add(who.connection.cookies[COOKIE])
        return {"name": who.name}

    def signed_in(connection: HTTPConnection) -> bytes | None:
        return weber.member_id if connection.cookies.get(COOKIE) in sessions else None

    passkeys = PasskeyLogin(
        audience=clinic.app, agent_origin=clinic.agent, unknown=made.vault.stranger_secret
    )
    routes = MemberRoutes(
        made.vault, on_sign_in=welcome, member=signed_in, scram=True, passkeys=passkeys
    )
    app.mount("/twinlock/member", routes)

    @app.post("/sign-in-by-form")
    def sign_in_by_form(request: Request) -> Response:
        sessions.add(request.cookies[COOKIE])
        return Response(status_code=204)

    @app.get("/sign-out")
    def sign_out(request: Request) -> Response:
        sessions.discard(request.cookies.get(COOKIE, ""))
        return Response(status_code=204)

    @app.get("/me")
    def me(request: Request) -> str | None:
        return None if signed_in(request) is None else "weber"


_PAGE = """<!doctype html><html lang="en"><title>Clinic</title><h1>Clinic</h1>
<twinlock-banner></twinlock-banner><script type="module" src="/page.js"></script></html>"""

_SCRIPT = """
import * as library from "/client.js";
window.library = library;
window.states = [];
const options = { agentUrl: "AGENT/", patience: 30_000, member: "/twinlock/member/" };
window.twinlock = library.createTwinlock(options);
twinlock.addEventListener("statechange", () => states.push(twinlock.state));
library.defineBanner(twinlock);
window.get = async (path, init) => (await twinlock.fetch(path, init)).json();
"""


@contextmanager
def _sockets(count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as ending:
        opened = [ending.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
            each.listen()
        yield opened


@contextmanager
def _served(apps: Sequence[Any], sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Serve each application on its socket, all on one event loop in a thread."""
    configs = [uvicorn.Config(app, log_level="warning", lifespan="off") for app in apps]
    servers = [uvicorn.Server(config) for config in configs]

    async def serve() -> None:
        pairs = zip(servers, sockets, strict=True)
        await asyncio.gather(*(server.serve([each]) for server, each in pairs))

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.should_exit = True
        thread.join()
