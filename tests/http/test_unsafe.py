"""Requests that change something: opened explicitly, and their handler's body runs once."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Body, Depends, HTTPException

from tests.http.clinic import HELLO, RELEASE, Clinic, Patient, Talk, client_for, code
from twinlock import CallerError
from twinlock.integrations.fastapi import Releases, releases


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


def test_an_unsafe_request_is_released_and_then_repeated_by_its_caller(clinic: Clinic) -> None:
    """R-HTTP-7."""
    client = client_for(letters(clinic))
    talk = Talk(client, "/letters/1", clinic.weber)
    asked = client.post("/letters/1", json={"text": "Dear Ada:"})
    assert code(asked) == (428, "http.release-needed")
    bundle = talk.hello(asked).content
    parked = talk.release(asked, bundle)
    assert (parked.status_code, parked.content) == (204, b"")
    assert clinic.runs == []
    name = {"twinlock-release": asked.headers["twinlock-request"]}
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
    talk.release(asked, talk.hello(asked).content)
    name = {"twinlock-release": asked.headers["twinlock-request"]}
    refused = {
        "another address": client.post("/letters/2", json={"text": "x"}, headers=name),
        "another query": client.post("/letters/1?x=1", json={"text": "x"}, headers=name),
        "another method": client.get("/letters/1", headers=name),
    }
    assert {code(answer) for answer in refused.values()} == {(403, "http.other-request")}
    other = client_for(app, "weber-2").post("/letters/1", json={"text": "x"}, headers=name)
    assert code(other) == (403, "http.other-session")
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
    name = {"twinlock-release": asked.headers["twinlock-request"]}
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
