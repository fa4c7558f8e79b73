"""An application on Twinlock's HTTP flow, served on real sockets, and people's clients of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
import uvicorn
from fastapi import Depends, FastAPI, Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from attacks.places import Place
from twinlock.core.context import Context
from twinlock.errors import DataError
from twinlock.integrations.asgi.wire import (
    HELLO_TYPE,
    PROBLEM_TYPE,
    RELEASE_TYPE,
    from_base64url,
    release_digest,
    to_base64url,
)
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.server.opened import Opened
from twinlock.server.records import Stored

if TYPE_CHECKING:
    from attacks.world import World

COOKIE: Final = "clinic-session"


def _record(request: Request) -> tuple[Context, Stored]:
    world: World = request.app.state.world
    place = world.place(request.path_params["name"])
    return place.context, world.stored(place)


def path_of(place: Place) -> str:
    """Where the clinic shows a place (GET) and sends it (POST)."""
    return f"/records/{place.name}"


def shows(place: Place, text: str) -> bool:
    """Tell whether an answer holds anything of a place's content."""
    return any(value.decode() in text for value in place.content.values())


def _shown(opened: Opened) -> dict[str, str]:
    if opened.error is not None:
        raise opened.error
    return {column: opened.data(column).reveal().decode() for column in opened.columns}


class Clinic:
    """Every signed-in user may ask for every record: what protects them is sealing alone.

    ``sent`` is what left the house by POST, with the place it went to: an effect that nobody may
    cause but its user.
    """

    def __init__(self, world: World) -> None:
        self.app = FastAPI()
        self.app.state.world = world
        self.users: dict[str, str] = {}
        self.sent: list[tuple[str, dict[str, str]]] = []
        self._world = world
        self._routes()
        self.app.add_middleware(
            TwinlockMiddleware,
            vault=world.vault,
            session=lambda connection: connection.cookies.get(COOKIE),
            member=self._member,
        )

    def _member(self, connection: HTTPConnection) -> bytes | None:
        name = self.users.get(connection.cookies.get(COOKIE, ""))
        return None if name is None else self._world.agents[name].member_id

    def _routes(self) -> None:
        sending = Depends(releases(purpose="ward round", items=_record))
        showing = Depends(releases(purpose="ward round"))

        @self.app.get("/records/{name}")
        async def show(request: Request, release: Releases = showing) -> dict[str, str]:
            (opened,) = await release.open([_record(request)])
            return _shown(opened)

        @self.app.post("/records/{name}")
        async def send(to: str = "", release: Releases = sending) -> dict[str, str]:
            (opened,) = release.loaded
            self.sent.append((to, _shown(opened)))
            return self.sent[-1][1]

    def sent_to(self, to: str, place: Place) -> bool:
        """Tell whether a place's content was sent there."""
        content = {column: value.decode() for column, value in place.content.items()}
        return (to, content) in self.sent

    def sign_in(self, name: str) -> str:
        """Return a new session cookie of a user."""
        cookie = f"{name}-{len(self.users)}-0123456789abcdef"
        self.users[cookie] = name
        return cookie


@contextmanager
def served(app: ASGIApp, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve an application on a free port of this machine, while the block runs; its port."""
    with socket.create_server((host, 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def refused(answer: httpx.Response) -> httpx.Response:
    """Raise a refusal as the error that it tells; return any other answer."""
    if answer.headers.get("content-type", "") == PROBLEM_TYPE and answer.status_code != 428:
        told = answer.json()
        raise DataError(told["code"], told["detail"])
    return answer


@dataclass(slots=True)
class Client:
    """Whoever has a cookie: sends what he likes, and sees what comes back."""

    http: httpx.Client
    cookie: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, port: int, cookie: str) -> Self:
        """Return the client of a clinic on a port."""
        return cls(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60), cookie)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
        """Send a request; header names with ``_`` for ``-``. Raises what the answer refuses."""
        return self._send(method, path, body, headers)

    def post(self, path: str, request_id: str, kind: str, body: bytes) -> httpx.Response:
        """Post a hello or release. Raises what the answer refuses."""
        headers = {"Twinlock-Request": request_id, "Content-Type": kind}
        return self._send("POST", path, body, headers)

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self.headers, **named, "Cookie": f"{COOKIE}={self.cookie}"}
        return refused(self.http.request(method, path, content=body, headers=sent))

    def begin(self, method: str, path: str) -> Asked:
        """Ask and take the 428."""
        answer = self.ask(method, path)
        return Asked(
            self,
            method,
            path,
            answer.headers["twinlock-request"],
            from_base64url(answer.headers["twinlock-session"]),
        )


@dataclass(slots=True)
class Asked:
    """A request that was answered 428, as its sender goes on with it."""

    client: Client
    method: str
    path: str
    request_id: str
    session: bytes
    released: bytes = b""

    def hello(self, hello: bytes, *, by: Client | None = None) -> bytes:
        """Post a hello; return the request bundle."""
        return (by or self.client).post(self.path, self.request_id, HELLO_TYPE, hello).content

    def with_hello(self, hello: bytes) -> bytes:
        """Ask again with the hello in a header, which makes another request; return the bundle."""
        answer = self.client.ask(self.method, self.path, Twinlock_Hello=to_base64url(hello))
        self.request_id = answer.headers["twinlock-request"]
        return answer.content

    def release(self, release: bytes, *, by: Client | None = None) -> httpx.Response:
        """Post a release; the answer of a safe request, or 204."""
        self.released = release
        return (by or self.client).post(self.path, self.request_id, RELEASE_TYPE, release)

    def repeat(self, *, by: Client | None = None, path: str = "") -> httpx.Response:
        """Send the original request again, naming the parked release."""
        client = by or self.client
        return client.ask(self.method, path or self.path, Twinlock_Release=self.name)

    @property
    def name(self) -> str:
        """What names request and release in a repetition, to whoever knows both."""
        return f"{self.request_id}.{release_digest(self.released)}"

    def answered_by(self, agent: Any, place: Place) -> bytes:
        """Have an agent of the application's own origin answer; its release."""
        bundle = self.hello(agent.hello(session=self.session))
        return bytes(agent.release(bundle, expect=[place.context]).raw)
