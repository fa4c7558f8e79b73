"""Errors as clients see them: stable, whole, and without anything from inside."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends

import list_errors
from tests.http.clinic import Clinic, Talk, client_for, code
from twinlock import CallerError, DataError, EnvError
from twinlock.errors import TwinlockError
from twinlock.integrations.asgi import problems
from twinlock.integrations.asgi.member_problems import MEMBER_CODES
from twinlock.integrations.fastapi import Releases, releases

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry-diagnosis"
INSIDE = "/etc/secret/pin"


def telling(clinic: Clinic, error: Exception) -> Any:
    app = clinic.application()

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> None:
        raise error

    return client_for(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (DataError("data.not-authentic", "m", hint="h"), 500, "data.not-authentic"),
        (DataError("sealed.not-decoded", "m", hint="h"), 500, "sealed.not-decoded"),
        (DataError("format.malformed", "m"), 500, "format.malformed"),
        (DataError("suite.unknown", "m"), 500, "suite.unknown"),
        (CallerError("record.no-lock", "m"), 403, "record.no-lock"),
        (CallerError("release.withheld", "m"), 403, "release.withheld"),
        (DataError("release.expired", "m"), 410, "release.expired"),
        (DataError("release.key-reused", "m"), 409, "release.key-reused"),
        (DataError("log.fork", INSIDE), 500, "http.failed"),
        (CallerError("context.column", INSIDE), 500, "http.failed"),
        (EnvError("token.pin-refused", INSIDE), 500, "http.failed"),
        (EnvError("token.session-lost", INSIDE, retryable=True), 503, "http.unavailable"),
        (EnvError("store.busy", INSIDE, retryable=True), 503, "http.unavailable"),
    ],
)
def test_each_error_has_its_status_and_hides_what_is_inside(
    clinic: Clinic,
    error: TwinlockError,
    status: int,
    expected: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R-HTTP-14."""
    with caplog.at_level(logging.DEBUG):
        answer = telling(clinic, error).get("/patients")
    assert code(answer) == (status, expected)
    assert INSIDE not in answer.text + caplog.text
    assert answer.headers.get("retry-after") == ("2" if status == 503 else None)
    if expected != error.code:
        assert error.code in caplog.text
    assert "Traceback" not in caplog.text


def test_what_is_not_ours_is_left_to_the_framework(clinic: Clinic) -> None:
    answer = telling(clinic, ZeroDivisionError()).get("/patients")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_an_error_after_the_beginning_of_the_answer_is_left_to_the_server(clinic: Clinic) -> None:
    from fastapi.responses import StreamingResponse

    app = clinic.application()

    @app.get("/patients")
    async def patients() -> StreamingResponse:
        def lines() -> Any:
            yield "first\n"
            raise DataError("data.not-authentic", "m")

        return StreamingResponse(lines())

    with pytest.raises(DataError):
        client_for(app).get("/patients")


def test_the_token_that_is_away_is_told_as_503(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_for(clinic.list_application())
    talk = Talk(client, "/patients", clinic.weber)
    asked, bundle = talk.bound()

    def away(*_: Any) -> Any:
        raise EnvError("token.session-lost", INSIDE, retryable=True)

    monkeypatch.setattr(clinic.deployment.vault.token, "opening", away)
    assert code(talk.release(asked, bundle)) == (503, "http.unavailable")


def test_no_secret_and_no_stack_is_in_any_body_or_log(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    """R-HTTP-14: everything that a round sends and logs, but the page itself."""
    clinic.admit("Cy", CANARY)
    client = client_for(clinic.list_application(), "weber-c4n4ry-session")
    talk = Talk(client, "/patients", clinic.weber)
    with caplog.at_level(logging.DEBUG):
        asked, bundle = talk.bound()
        release = clinic.weber.release(bundle).raw
        shown = talk.post(asked, "application/twinlock-release", release)
        replayed = talk.post(asked, "application/twinlock-release", release)
        garbage = talk.post(asked, "application/twinlock-release", CANARY.encode())
    assert CANARY in shown.text
    said = b"".join([asked.content, bundle, replayed.content, garbage.content])
    headers = [f"{k}: {v}" for a in (asked, shown, replayed, garbage) for k, v in a.headers.items()]
    everything = said.decode("latin-1") + "\n".join(headers) + caplog.text
    for secret in (CANARY, "c4n4ry-session", release.hex(), "Traceback", 'File "'):
        assert secret not in everything


@pytest.mark.parametrize(
    ("heading", "codes"), [("Errors", problems.CODES), ("Members: sign in, ways in", MEMBER_CODES)]
)
def test_every_code_that_is_told_is_raised_somewhere_and_documented(
    heading: str, codes: Mapping[str, problems.Told]
) -> None:
    raised = {found.code for found in list_errors.raised(ROOT / "src" / "twinlock")}
    assert set(codes) <= raised
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z.-]+)` \| (\d{3}) \| (yes|no) \|", section, re.MULTILINE)
    told = {(c, str(t.status), "yes" if t.retryable else "no") for c, t in codes.items()}
    assert set(rows) == told


@pytest.mark.parametrize("name", sorted(problems.CODES))
def test_every_problem_is_whole(name: str) -> None:
    made = problems.problem(CallerError(name, "what happened", hint="what to do"))
    said = json.loads(made.body)
    assert said["title"] == HTTPStatus(made.status).phrase
    assert (said["detail"], said["hint"]) == ("what happened", "what to do")


def test_the_picture_of_the_flow_is_the_one_that_is_drawn() -> None:
    import draw_http_flow

    assert draw_http_flow.TARGET.read_text(encoding="utf-8") == draw_http_flow.svg()
