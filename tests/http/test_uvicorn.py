"""The flow over a real server and network, with the token's keys in SoftHSM."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI

from tests.http.clinic import Patient, context_of
from tests.server.world import World, world_on_softhsm
from tests.token.rigs import init_softhsm
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases
from twinlock.integrations.http_client import AgentAuth


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, softhsm_folder: Path) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("http")
    uri = init_softhsm("http")
    with world_on_softhsm(folder, uri, groups={"cardiology": ["weber"]}) as made:
        yield made


def application(world: World) -> FastAPI:
    app = FastAPI()
    app.add_middleware(
        TwinlockMiddleware,
        vault=world.vault,
        session=lambda connection: connection.cookies.get("session"),
        member=lambda connection: world.weber.agent.member_id,
        clock=world.clock,
    )
    patients = []
    for number in range(50):
        suite = ("rsa-oaep", "token-aes")[number % 2]
        sealed = world.vault.seal(
            f"I{number}", to=world.ward, context=context_of(number), suite=suite
        )
        patients.append(Patient(number, f"patient {number}", sealed.to_bytes()))

    @app.api_route("/patients", methods=["GET", "HEAD"])
    async def page(release: Releases = Depends(releases(purpose="ward round"))) -> list[Any]:
        return [view.shown() for view in await release.opened(patients)]

    @app.get("/alive")
    async def alive() -> str:
        return "yes"

    @app.post("/letter")
    async def letter(
        release: Releases = Depends(releases(items=lambda: patients[:1])),
    ) -> str:
        return str(release.loaded[0].diagnosis)

    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve in a thread; yields the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_a_page_and_a_letter_over_a_real_server(world: World) -> None:
    with serving(application(world)) as url:
        auth = AgentAuth(world.weber.agent)
        with httpx.Client(auth=auth, cookies={"session": "s"}, timeout=60) as client:
            for _ in range(2):
                shown = client.get(f"{url}/patients")
                assert [p["diagnosis"] for p in shown.json()] == [f"I{n}" for n in range(50)]
            head = client.head(f"{url}/patients")
            assert (head.status_code, head.content) == (200, b"")
            explicit = AgentAuth(world.weber.agent, explicit=True)
            assert client.post(f"{url}/letter", auth=explicit).json() == "I0"
            # The connection is still in step after all that.
            assert client.get(f"{url}/alive").json() == "yes"
