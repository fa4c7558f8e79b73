"""A clinic's web application for tests of the HTTP flow, with a deployment in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import Depends, FastAPI

from twinlock import Context, Opened
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.integrations.rows import OpenedScope
from twinlock.testing import MemoryClock, MemoryMember, memory_vault
from twinlock.testing.deployment import MemoryDeployment

with warnings.catch_warnings():
    # Starlette would rather have httpx2, a package that nothing else here needs.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

HELLO = "application/twinlock-hello"
REQUEST = "application/twinlock-request"
RELEASE = "application/twinlock-release"
PROBLEM = "application/problem+json"


@dataclass
class Patient:
    """A row of a mapper of our own: one sealed column."""

    number: int
    name: str
    stored: bytes | None
    runs: list[str] = field(default_factory=list)

    @property
    def context(self) -> Context:
        return context_of(self.number)

    def __twinlock_row__(self) -> PatientSource:
        return PatientSource(self)


@dataclass
class PatientSource:
    row: Patient

    def items(self) -> Sequence[tuple[Context, bytes]]:
        return [] if self.row.stored is None else [(self.row.context, self.row.stored)]

    def view(self, opened: Sequence[Opened], scope: OpenedScope) -> PatientView:
        return PatientView(self.row.name, opened[0] if opened else None, scope)


@dataclass
class PatientView:
    name: str
    opened: Opened | None
    scope: OpenedScope

    @property
    def diagnosis(self) -> str | None:
        self.scope.require_live()
        return None if self.opened is None else self.opened.text().reveal()

    def shown(self) -> dict[str, Any]:
        if self.opened is not None and self.opened.error is not None:
            return {"name": self.name, "error": self.opened.error.code}
        return {"name": self.name, "diagnosis": self.diagnosis}


def context_of(number: int) -> Context:
    return Context(table="patient", record=number, column="diagnosis")


@dataclass
class Clinic:
    """The application's world: a deployment, its patients, and who is signed in by cookie."""

    deployment: MemoryDeployment
    clock: MemoryClock
    patients: list[Patient] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    @property
    def weber(self) -> MemoryMember:
        return self.deployment.weber

    @property
    def kim(self) -> MemoryMember:
        return self.deployment.kim

    @property
    def officer(self) -> MemoryMember:
        return self.deployment.officer

    def admit(self, name: str, diagnosis: str | None, group: str = "cardiology") -> Patient:
        number = len(self.patients) + 1
        stored = None
        if diagnosis is not None:
            to = self.deployment.groups[group]
            sealed = self.deployment.vault.seal(diagnosis, to=to, context=context_of(number))
            stored = sealed.to_bytes()
        self.patients.append(Patient(number, name, stored))
        return self.patients[-1]

    def member_of(self, connection: Any) -> bytes | None:
        """Who is signed in: the cookie ``session`` is NAME-anything."""
        name = connection.cookies.get("session", "").partition("-")[0]
        member = self.deployment.members.get(name)
        return None if member is None else member.agent.member_id

    def options(self, **more: Any) -> dict[str, Any]:
        found = {
            "vault": self.deployment.vault,
            "session": lambda connection: connection.cookies.get("session"),
            "member": self.member_of,
            "clock": self.clock,
        }
        return {**found, **more}

    def application(self, **options: Any) -> FastAPI:
        """An empty application with the middleware."""
        app = FastAPI()
        app.add_middleware(TwinlockMiddleware, **self.options(**options))
        return app

    def list_application(self, **options: Any) -> FastAPI:
        """``GET /patients`` opens all; its runs are noted."""
        app = self.application(**options)

        @app.get("/patients")
        async def patients(
            release: Releases = Depends(releases(purpose="ward round")),
        ) -> list[dict[str, Any]]:
            self.runs.append("patients")
            return [view.shown() for view in await release.opened(self.patients)]

        return app


GROUPS = {
    "cardiology": ("weber", "kim", "lee"),
    "emergency": ("weber",),
    "data-office": ("officer",),
}


@contextmanager
def clinic_in_memory(**options: Any) -> Iterator[Clinic]:
    clock = MemoryClock()
    with memory_vault(clock=clock, groups=GROUPS, **options) as deployment:
        yield Clinic(deployment, clock)


def client_for(app: Any, session: str | None = "weber-1", **options: Any) -> TestClient:
    """A browser without an agent, signed in."""
    cookies = {} if session is None else {"session": session}
    return TestClient(app, cookies=cookies, **options)


class Talk:
    """The flow by hand, one request at a time."""

    def __init__(self, client: Any, url: str, agent: Any) -> None:
        self.client = client
        self.url = url
        self.agent = agent

    def hello(self, asked: httpx.Response, **headers: str) -> httpx.Response:
        said = self.agent.hello(session=session_of(asked))
        return self.post(asked, HELLO, said, **headers)

    def release(self, asked: httpx.Response, bundle: bytes, **headers: str) -> httpx.Response:
        return self.post(asked, RELEASE, self.agent.release(bundle).raw, **headers)

    def post(self, asked: httpx.Response, kind: str, body: bytes, **headers: str) -> httpx.Response:
        names = {"content-type": kind, "twinlock-request": asked.headers["twinlock-request"]}
        return self.client.post(self.url, content=body, headers={**names, **headers})

    def bound(self, asked: httpx.Response | None = None) -> tuple[httpx.Response, bytes]:
        """Ask and say hello; return the 428 and the bundle."""
        asked = asked or self.client.get(self.url)
        bundle = self.hello(asked)
        assert (bundle.status_code, bundle.headers["content-type"]) == (428, REQUEST)
        return asked, bundle.content


def session_of(asked: httpx.Response) -> bytes:
    import base64

    return base64.urlsafe_b64decode(asked.headers["twinlock-session"] + "=")


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem; checks that it is a whole one."""
    assert response.headers["content-type"] == PROBLEM, response.text
    said = response.json()
    assert set(said) == {"type", "title", "status", "detail", "code", "hint", "retryable"}
    assert said["type"] == f"https://twinlock.dev/problems/{said['code']}"
    assert said["status"] == response.status_code
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, said["code"]


Handler = Callable[..., Any]
