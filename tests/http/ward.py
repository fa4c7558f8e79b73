"""An application with member routes: a deployment, sessions in cookies, a page that opens."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from tests.http.clinic import Patient, TestClient, code, context_of
from tests.server.world import World, world_in_memory
from twinlock.agent.factors import Password
from twinlock.core.deployment import DeploymentCard
from twinlock.integrations.asgi import MemberRoutes, SignedIn
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.integrations.member_client import MemberService
from twinlock.server.setup import add_hardening_key, add_verifier_key, deployment_card

WORDS = "Zürich, correct horse"
BASE = "/twinlock/member/"
HERE = "http://localhost"


@dataclass
class Ward:
    """The application's world. ``signed_in`` is what ``on_sign_in`` was called with."""

    world: World
    signed_in: list[SignedIn] = field(default_factory=list)
    sessions: dict[str, bytes] = field(default_factory=dict)
    barred: set[str] = field(default_factory=set)

    @property
    def card(self) -> DeploymentCard:
        return deployment_card(self.world.config)

    def welcome(self, who: SignedIn) -> Mapping[str, Any] | None:
        self.signed_in.append(who)
        if who.name in self.barred:
            who.response.set_cookie("session", "of a barred member")
            return None
        token = secrets.token_urlsafe(32)
        self.sessions[token] = who.member_id
        who.response.set_cookie("session", token, httponly=True, samesite="strict")
        return {"name": who.name}

    def member_of(self, connection: HTTPConnection) -> bytes | None:
        return self.sessions.get(connection.cookies.get("session", ""))

    def application(self, **options: Any) -> FastAPI:
        app = FastAPI()
        app.add_middleware(
            TwinlockMiddleware,
            vault=self.world.vault,
            session=lambda connection: connection.cookies.get("session"),
            member=self.member_of,
            clock=self.world.clock,
        )
        usual = {
            "on_sign_in": self.welcome,
            "member": self.member_of,
            "scram": True,
            "clock": self.world.clock,
        }
        app.mount(BASE.rstrip("/"), MemberRoutes(self.world.vault, **{**usual, **options}))
        sealed = self.world.vault.seal("I48.0", to=self.world.ward, context=context_of(1))
        patients = [Patient(1, "Ada", sealed.to_bytes())]

        @app.get("/patients")
        async def page(release: Releases = Depends(releases())) -> list[Any]:
            return [view.shown() for view in await release.opened(patients)]

        return app

    def password(self, service: MemberService, text: str = WORDS) -> Password:
        return Password(text, deployment=self.card, service=service, clock=self.world.clock)


def client_of(app: Any) -> TestClient:
    return TestClient(app, base_url=HERE)


def service_of(client: Any, account: str = "kim", base: str = HERE) -> MemberService:
    return MemberService(f"{base}{BASE}", account, client=client)


def asked(client: Any, route: str, body: Any, **headers: str) -> Any:
    return client.post(f"{BASE}{route}", json=body, headers=headers)


def refusal(client: Any, route: str, body: Any, **headers: str) -> tuple[int, str]:
    return code(asked(client, route, body, **headers))


@contextmanager
def ward_of(world: World) -> Iterator[Ward]:
    """Give a world's token what passwords and SCRAM need."""
    vault = world.vault
    add_hardening_key(vault.store, vault.token, vault.config, now=world.clock())
    add_verifier_key(vault.store, vault.token, vault.config, now=world.clock())
    vault.read_directory_again()
    world.clock.forward(120)
    yield Ward(world)


@contextmanager
def ward_in_memory() -> Iterator[Ward]:
    with world_in_memory() as world, ward_of(world) as ward:
        yield ward


def home(folder: Path, name: str = "new-laptop") -> Path:
    made = folder / name
    made.mkdir()
    return made
