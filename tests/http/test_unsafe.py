"""Requests that change something: opened explicitly, and their handler's body runs once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import Body, Depends, HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.http.clinic import HELLO, RELEASE, Clinic, Patient, Talk, client_for, code
from twinlock import CallerError
from twinlock.integrations.asgi.bodies import HashedBody
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases


def letters(clinic: Clinic, **options: Any) -> Any:
    """``POST /letters/N`` opens patient N before it writes; what it wrote is noted."""
    app = clinic.application(**options)

    def patient(number: int) -> Patient:
        if number > len(clinic.patients):
            raise HTTPException(404)
        return clinic.patients[number - 1]

    @app.post("/letters/{number}")
    async def write(
        text: str = Body(embed=True),
        release: Releases = Depends(releases(purpose="a letter", items=patient)),
    ) -> str:
        [view] = release.loaded
        clinic.runs.append(f"{text} {view.diagnosis}")
        return clinic.runs[-1]

    @app.get("/letters/{number}")
    async def read(release: Releases = Depends(releases(items=patient))) -> str:
        return str(release.loaded[0].diagnosis)

    return app


def named(asked: httpx.Response, release: bytes) -> dict[str, str]:
    """What a repetition says: the request's id, and the SHA-256 of its release."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(release).digest()).rstrip(b"=").decode()
    return {"twinlock-release": f"{asked.headers['twinlock-request']}.{digest}"}


def parked(talk: Talk, asked: httpx.Response) -> bytes:
    """Say hello and post the release for a request; return the release."""
    release: bytes = talk.agent.release(talk.hello(asked).content).raw
    assert talk.post(asked, RELEASE, release).status_code == 204
    return release


def test_an_unsafe_request_is_released_and_then_repeated_by_its_caller(clinic: Clinic) -> None:
    """R-HTTP-7."""
    client = client_for(letters(clinic))
    talk = Talk(client, "/letters/1", clinic.weber)
    asked = client.post("/letters/1", json={"text": "Dear Ada:"})
    assert code(asked) == (428, "http.release-needed")
    bundle = talk.hello(asked).content
    release = clinic.weber.release(bundle).raw
    kept = talk.post(asked, RELEASE, release)
    assert (kept.status_code, kept.content) == (204, b"")
    assert clinic.runs == []
    name = named(asked, release)
    done = client.post("/letters/1", json={"text": "Dear Ada:"}, headers=name)
    assert (done.status_code, done.json()) == (200, "Dear Ada: I48.0")
    assert done.headers["cache-control"] == "no-store"
    assert clinic.runs == ["Dear Ada: I48.0"]
    again = client.post("/letters/1", json={"text": "Dear Ada:"}, headers=name)
    assert code(again) == (409, "release.replayed")
    assert clinic.runs == ["Dear Ada: I48.0"]


def test_a_hello_in_the_header_of_an_unsafe_request_does_not_count(clinic: Clinic) -> None:
    client = client_for(letters(clinic))
    asked = client.post("/letters/1", json={"text": ""}, headers={"twinlock-hello": "x"})
    assert code(asked) == (428, "http.release-needed")


def test_what_is_parked_serves_its_own_request_only(clinic: Clinic) -> None:
    """R-HTTP-8."""
    app = letters(clinic)
    client = client_for(app)
    talk = Talk(client, "/letters/1", clinic.weber)
    asked = client.post("/letters/1", json={"text": "x"})
    release = parked(talk, asked)
    name = named(asked, release)
    refused = {
        "another address": client.post("/letters/2", json={"text": "x"}, headers=name),
        "another query": client.post("/letters/1?x=1", json={"text": "x"}, headers=name),
        "another method": client.get("/letters/1", headers=name),
    }
    assert {code(answer) for answer in refused.values()} == {(403, "http.other-request")}
    other = client_for(app, "weber-2").post("/letters/1", json={"text": "x"}, headers=name)
    assert code(other) == (403, "http.other-session")
    assert clinic.runs == []


@pytest.mark.parametrize(
    ("forged", "refusal"),
    [
        (lambda request_id, digest: request_id, (400, "http.request-id")),
        (lambda request_id, digest: f"{request_id}.", (400, "http.request-id")),
        (lambda request_id, digest: f"{request_id}.{digest[:-1]}", (400, "http.request-id")),
        (lambda request_id, digest: f"{request_id}.{digest}=.", (400, "http.request-id")),
        (lambda request_id, digest: f"{request_id}.{'A' * 43}", (403, "http.other-release")),
        (
            lambda request_id, digest: f"{request_id}.{digest[::-1]}",
            (403, "http.other-release"),
        ),
    ],
)
def test_knowing_the_requests_id_alone_repeats_nothing(
    clinic: Clinic, forged: Callable[[str, str], str], refusal: tuple[int, str]
) -> None:
    """R-HTTP-15."""
    client = client_for(letters(clinic))
    asked = client.post("/letters/1", json={"text": "x"})
    name = named(asked, parked(Talk(client, "/letters/1", clinic.weber), asked))
    request_id, _, digest = name["twinlock-release"].rpartition(".")
    thief = {"twinlock-release": forged(request_id, digest)}
    assert code(client.post("/letters/1", json={"text": "x"}, headers=thief)) == refusal
    assert clinic.runs == []
    # The attempt did not use the release up; padding is accepted, as everywhere.
    padded = {"twinlock-release": f"{request_id}.{digest}="}
    assert client.post("/letters/1", json={"text": "x"}, headers=padded).json() == "x I48.0"


def in_pieces(app: Any) -> Any:
    """``app`` behind a server that hands bodies on in pieces of 16 KiB, as they come."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        pieces: list[Any] = []

        async def receive_piece() -> Any:
            if pieces:
                return pieces.pop(0)
            message = await receive()
            body = message.get("body", b"")
            for at in range(0, len(body), 16 << 10):
                pieces.append({**message, "body": body[at : at + (16 << 10)], "more_body": True})
            if pieces:
                pieces[-1]["more_body"] = message.get("more_body", False)
                return pieces.pop(0)
            return message

        await app(scope, receive_piece, send)

    return served


LONG = "x" * (2 * HashedBody.AHEAD)


@pytest.mark.parametrize(("more", "used_up"), [("", False), (LONG, True)])
def test_a_repetition_has_the_body_that_was_released_for(
    clinic: Clinic, more: str, used_up: bool
) -> None:
    """R-HTTP-16: FastAPI reads the body first, and would make a 400 of a long one's refusal."""
    client = client_for(in_pieces(letters(clinic)))
    asked = client.post("/letters/1", json={"text": f"{more} to Ada"})
    name = named(asked, parked(Talk(client, "/letters/1", clinic.weber), asked))
    other = client.post("/letters/1", json={"text": f"{more} to Eve"}, headers=name)
    assert code(other) == (403, "http.other-body")
    assert clinic.runs == []
    again = client.post("/letters/1", json={"text": f"{more} to Ada"}, headers=name)
    assert again.status_code == (409 if used_up else 200)
    assert clinic.runs == ([] if used_up else [" to Ada I48.0"])


def test_a_short_body_is_compared_though_nobody_reads_it(clinic: Clinic) -> None:
    """R-HTTP-16."""

    async def heedless(request: Request) -> Response:
        [view, _] = await Releases.of(request).opened(clinic.patients, first=True)
        return Response(view.diagnosis)

    app = Starlette(routes=[Route("/shown", heedless, methods=["POST"])])
    app.add_middleware(TwinlockMiddleware, **clinic.options())
    client = client_for(app)
    asked = client.post("/shown", content=b"ours")
    name = named(asked, parked(Talk(client, "/shown", clinic.weber), asked))
    refused = client.post("/shown", content=b"theirs", headers=name)
    assert code(refused) == (403, "http.other-body")
    assert client.post("/shown", content=b"ours", headers=name).text == "I48.0"


class TestHandlersThatOpenBeforeTheyReadTheBody:
    """R-HTTP-16: then the body is compared while it is read, and never given out whole."""

    @pytest.fixture
    def client(self, clinic: Clinic) -> Any:
        async def upload(request: Request) -> Response:
            await Releases.of(request).opened(clinic.patients, first=True)
            clinic.runs.append((await request.body()).decode())
            return Response("kept")

        app = Starlette(routes=[Route("/uploads", upload, methods=["POST"])])
        app.add_middleware(TwinlockMiddleware, **clinic.options())
        return client_for(in_pieces(app))

    @pytest.mark.parametrize(
        ("body", "answer"), [(b"x" * 200_000, 200), (b"x" * 200_001, 403), (b"", 403)]
    )
    def test_they_get_the_same_body_or_none(
        self, clinic: Clinic, client: Any, body: bytes, answer: int
    ) -> None:
        asked = client.post("/uploads", content=b"x" * 200_000)
        name = named(asked, parked(Talk(client, "/uploads", clinic.weber), asked))
        done = client.post("/uploads", content=body, headers=name)
        assert done.status_code == answer
        assert [len(run) for run in clinic.runs] == ([200_000] if answer == 200 else [])
        if answer != 200:
            assert code(done) == (403, "http.other-body")

    def test_a_body_in_pieces_is_the_same_body(self, clinic: Clinic, client: Any) -> None:
        asked = client.post("/uploads", content=iter([b"ab", b"", b"c"]))
        name = named(asked, parked(Talk(client, "/uploads", clinic.weber), asked))
        assert client.post("/uploads", content=iter([b"a", b"bc"]), headers=name).is_success
        assert clinic.runs == ["abc"]


def test_a_handler_that_swallows_the_refusal_opens_nothing(clinic: Clinic) -> None:
    """R-HTTP-16."""

    async def stubborn(request: Request) -> Response:
        with suppress(CallerError):
            await request.body()
        with suppress(CallerError):
            views = await Releases.of(request).opened(clinic.patients, first=True)
            clinic.runs += [view.diagnosis for view in views]
        return Response("all is well")

    app = Starlette(routes=[Route("/uploads", stubborn, methods=["POST"])])
    app.add_middleware(TwinlockMiddleware, **clinic.options())
    client = client_for(in_pieces(app))
    asked = client.post("/uploads", content=LONG.encode())
    name = named(asked, parked(Talk(client, "/uploads", clinic.weber), asked))
    assert code(client.post("/uploads", content=LONG.encode() + b"!", headers=name)) == (
        403,
        "http.other-body",
    )
    assert clinic.runs == []


def test_a_second_release_is_not_parked_over_the_first(clinic: Clinic) -> None:
    """R-HTTP-10."""
    client = client_for(letters(clinic))
    talk = Talk(client, "/letters/1", clinic.weber)
    asked = client.post("/letters/1", json={"text": "x"})
    bundle = talk.hello(asked).content
    assert talk.release(asked, bundle).status_code == 204
    assert code(talk.release(asked, bundle)) == (409, "release.replayed")


@pytest.mark.parametrize("posted", [[], [HELLO]])
def test_a_repetition_before_the_release_is_refused(clinic: Clinic, posted: list[str]) -> None:
    client = client_for(letters(clinic))
    asked = client.post("/letters/1", json={"text": "x"})
    if posted:
        Talk(client, "/letters/1", clinic.weber).hello(asked)
    name = named(asked, b"none yet")
    refused = client.post("/letters/1", json={"text": "x"}, headers=name)
    assert code(refused) == (409, "http.not-released")


def test_a_release_before_the_hello_is_refused(clinic: Clinic) -> None:
    app = letters(clinic)
    talk = Talk(client_for(app), "/letters/1", clinic.weber)
    _, bundle = talk.bound()
    release = clinic.weber.release(bundle).raw
    asked = talk.client.post("/letters/1", json={"text": "x"})
    assert code(talk.post(asked, RELEASE, release)) == (409, "http.not-bound")


def test_a_body_that_opens_something_of_its_own_is_told_to_name_it_first(clinic: Clinic) -> None:
    app, codes = clinic.application(), []

    @app.post("/letters")
    async def write(release: Releases = Depends(releases())) -> None:
        with pytest.raises(CallerError) as refused:
            await release.opened(clinic.patients)
        codes.append(refused.value.code)

    client_for(app).post("/letters")
    assert codes == ["http.open-first"]


@pytest.mark.parametrize("kind", ["row", "rows", "pair", "pairs", "nothing"])
def test_a_handler_may_name_one_or_many_rows_or_pairs(clinic: Clinic, kind: str) -> None:
    app = clinic.application()
    pairs = [(patient.context, patient.stored) for patient in clinic.patients]
    named = {
        "row": clinic.patients[0],
        "rows": clinic.patients,
        "pair": pairs[0],
        "pairs": pairs,
        "nothing": [],
    }[kind]

    @app.put("/letters")
    async def write(release: Releases = Depends(releases(items=lambda: named))) -> int:
        return len(release.loaded)

    client = client_for(app)
    with clinic.weber.releasing(client, explicit=True):
        count = client.put("/letters").json()
    assert count == {"row": 1, "rows": 2, "pair": 1, "pairs": 2, "nothing": 0}[kind]


def test_the_client_of_a_test_leaves_unsafe_requests_alone_unless_told(clinic: Clinic) -> None:
    client = client_for(letters(clinic))
    with clinic.weber.releasing(client) as made:
        assert client.post("/letters/1", json={"text": "x"}).status_code == 428
        assert client.get("/letters/1").json() == "I48.0"
    with clinic.weber.releasing(client, explicit=True):
        assert client.post("/letters/1", json={"text": "x"}).json() == "x I48.0"
    assert len(made) == 1
    assert clinic.runs == ["x I48.0"]


def test_a_handler_that_refuses_does_so_before_anybody_is_asked(clinic: Clinic) -> None:
    answer = client_for(letters(clinic)).post("/letters/9", json={"text": "x"})
    assert answer.status_code == 404
