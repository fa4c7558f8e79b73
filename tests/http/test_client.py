"""A program fetches sealed data with httpx and a member's agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import Body, Depends
from fastapi.responses import RedirectResponse

from tests.http.clinic import Clinic, client_for, code, context_of
from twinlock import CallerError, DataError
from twinlock.integrations.fastapi import Releases, releases
from twinlock.integrations.http_client import AgentAuth

SHOWN = [{"name": "Ada", "diagnosis": "I48.0"}, {"name": "Ben", "diagnosis": "I10"}]
URL = "http://testserver/patients"


def recorded(sent: list[httpx.Request], app: Any) -> Any:
    """A transport that passes requests on to ``app`` and notes them."""
    inner = client_for(app)

    def handle(request: httpx.Request) -> httpx.Response:
        body = b"".join(request.stream)
        copy = httpx.Request(
            request.method,
            request.url,
            headers=request.headers.multi_items(),
            content=body,
            extensions=request.extensions,
        )
        sent.append(copy)
        answer = inner.request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            content=body,
            follow_redirects=False,
        )
        headers = [(k, v) for k, v in answer.headers.multi_items() if k != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=answer.content)

    return httpx.MockTransport(handle)


class Program:
    """A program with a client; what it sends is noted."""

    def __init__(self, app: Any) -> None:
        self.sent: list[httpx.Request] = []
        self.client = httpx.Client(
            transport=recorded(self.sent, app), cookies={"session": "weber-1"}
        )

    def posted(self) -> list[str]:
        return [request.headers.get("content-type", request.method) for request in self.sent]


HELLO = "application/twinlock-hello"
RELEASE = "application/twinlock-release"


def test_a_page_is_fetched_in_three_steps_and_then_in_two(clinic: Clinic) -> None:
    program = Program(clinic.list_application())
    program.client.auth = AgentAuth(clinic.weber.agent)
    assert program.client.get(URL).json() == SHOWN
    assert program.posted() == ["GET", HELLO, RELEASE]
    program.sent.clear()
    assert program.client.get(URL).json() == SHOWN
    assert program.posted() == ["GET", RELEASE]
    assert len(program.sent[0].headers["twinlock-hello"]) < 8192
    assert {str(request.url) for request in program.sent} == {URL}


def test_a_client_that_awaits_gets_the_same(clinic: Clinic) -> None:
    app = clinic.list_application()

    async def work() -> None:
        transport = httpx.ASGITransport(app=app)
        auth = AgentAuth(clinic.weber.agent)
        async with httpx.AsyncClient(
            transport=transport, auth=auth, cookies={"session": "weber-1"}
        ) as client:
            assert (await client.get(URL)).json() == SHOWN
            both = await asyncio.gather(client.get(URL), client.get(URL))
            assert [answer.json() for answer in both] == [SHOWN, SHOWN]

    asyncio.run(work())


def test_headers_of_the_request_go_with_every_step(clinic: Clinic) -> None:
    program = Program(clinic.list_application())
    auth = AgentAuth(clinic.weber.agent)
    program.client.get(URL, auth=auth, headers={"authorization": "Bearer x", "accept": "text/x"})
    for request in program.sent:
        assert request.headers["authorization"] == "Bearer x"
        assert request.headers["accept"] == "text/x"
        assert request.headers["cookie"] == "session=weber-1"
        assert request.extensions["timeout"] == program.sent[0].extensions["timeout"]


def test_other_answers_pass(clinic: Clinic) -> None:
    app = clinic.list_application()

    @app.get("/busy", status_code=428)
    async def busy() -> str:
        return "the application's own"

    program = Program(app)
    program.client.auth = AgentAuth(clinic.weber.agent)
    assert program.client.get("http://testserver/nothing").status_code == 404
    assert program.client.get("http://testserver/busy").json() == "the application's own"


def test_what_the_server_refuses_is_the_response(clinic: Clinic) -> None:
    program = Program(clinic.list_application())
    assert code(program.client.get(URL, auth=AgentAuth(clinic.kim.agent))) == (
        403,
        "http.other-member",
    )


def test_what_the_agent_refuses_is_raised(clinic: Clinic) -> None:
    program = Program(clinic.list_application())
    auth = AgentAuth(clinic.weber.agent, expect=[context_of(1)])
    with pytest.raises(DataError) as refused:
        program.client.get(URL, auth=auth)
    assert refused.value.code == "request.unexpected"
    expected = [context_of(1), context_of(2)]
    assert program.client.get(URL, auth=AgentAuth(clinic.weber.agent, expect=expected)).is_success


def test_the_member_is_asked_where_a_budget_wants_it(clinic: Clinic) -> None:
    program = Program(clinic.list_application())
    clinic.weber.agent._budget = 1
    with pytest.raises(CallerError) as refused:
        program.client.get(URL, auth=AgentAuth(clinic.weber.agent))
    assert refused.value.code == "release.needs-approval"
    asked = []

    def approve(_: Any, reason: str) -> bool:
        asked.append(reason)
        return True

    assert program.client.get(URL, auth=AgentAuth(clinic.weber.agent, approve=approve)).is_success
    assert len(asked) == 1


class TestUnsafeRequests:
    @pytest.fixture
    def program(self, clinic: Clinic) -> Program:
        app = clinic.application()

        @app.post("/patients")
        async def write(
            text: str = Body(embed=True),
            release: Releases = Depends(releases(items=lambda: clinic.patients)),
        ) -> str:
            clinic.runs.append(text)
            return f"{text} {release.loaded[0].diagnosis}"

        return Program(app)

    def test_they_are_left_to_the_caller(self, clinic: Clinic, program: Program) -> None:
        """R-HTTP-7."""
        answer = program.client.post(URL, json={"text": "x"}, auth=AgentAuth(clinic.weber.agent))
        assert code(answer) == (428, "http.release-needed")
        assert len(program.sent) == 1

    def test_they_are_repeated_whole_when_the_caller_says_so(
        self, clinic: Clinic, program: Program
    ) -> None:
        auth = AgentAuth(clinic.weber.agent, explicit=True)
        answer = program.client.post(URL, json={"text": "x"}, auth=auth)
        assert answer.json() == "x I48.0"
        assert clinic.runs == ["x"]
        assert program.posted() == ["application/json", HELLO, RELEASE, "application/json"]
        assert program.sent[0].content == program.sent[3].content

    def test_a_body_that_comes_in_pieces_is_sent_again(
        self, clinic: Clinic, program: Program
    ) -> None:
        def pieces() -> Any:
            yield b'{"text":'
            yield b'"x"}'

        auth = AgentAuth(clinic.weber.agent, explicit=True)
        headers = {"content-type": "application/json"}
        answer = program.client.post(URL, content=pieces(), headers=headers, auth=auth)
        assert answer.json() == "x I48.0"


@pytest.mark.parametrize(
    ("target", "shown"), [("/patients", True), ("http://elsewhere.example/patients", False)]
)
def test_a_redirect_is_followed_but_no_other_site_is_answered(
    clinic: Clinic, target: str, shown: bool
) -> None:
    app = clinic.list_application()

    @app.get("/old")
    async def old() -> RedirectResponse:
        return RedirectResponse(target)

    program = Program(app)
    answer = program.client.get(
        "http://testserver/old", auth=AgentAuth(clinic.weber.agent), follow_redirects=True
    )
    assert (answer.status_code == 200) is shown
    hellos = [request for request in program.sent if "twinlock-request" in request.headers]
    assert bool(hellos) is shown


def test_a_page_that_changes_all_the_time_is_given_up(clinic: Clinic) -> None:
    """R-HTTP-9."""
    app = clinic.application()

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> int:
        return len(await release.opened([clinic.admit("New", "I10")]))

    program = Program(app)
    answer = program.client.get(URL, auth=AgentAuth(clinic.weber.agent))
    assert code(answer) == (428, "http.release-needed")
    assert program.posted().count(RELEASE) == 3


def test_a_long_hello_is_posted(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(clinic.list_application())
    real: Callable[..., bytes] = clinic.weber.agent.hello

    class LongWinded:
        def hello(self, *, session: bytes | None = None) -> bytes:
            from dataclasses import replace

            from twinlock.core.request import GroupHead, decode_hello

            said = decode_hello(real(session=session))
            heads = [GroupHead(bytes([n]) * 32, 1, bytes(32)) for n in range(100)]
            return replace(said, heads=(*said.heads, *heads)).encode()

        release = clinic.weber.agent.release

    program.client.auth = AgentAuth(LongWinded())
    for _ in range(2):
        program.sent.clear()
        assert program.client.get(URL).json() == SHOWN
        assert program.posted() == ["GET", HELLO, RELEASE]


TARGETS = ["/elsewhere", "http://elsewhere.example/patients"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [HELLO, RELEASE])
def test_no_hello_or_release_follows_a_redirect(
    clinic: Clinic, kind: str, target: str, status: int
) -> None:
    program = Program(moving(clinic.list_application(), kind, target, status))
    with pytest.raises(CallerError) as refused:
        program.client.get(URL, auth=AgentAuth(clinic.weber.agent), follow_redirects=True)
    assert refused.value.code == "http.redirected"
    for request in program.sent:
        if str(request.url) != URL:
            assert not request.content
            assert not [name for name in request.headers if name.startswith("twinlock")]


@pytest.mark.parametrize("target", TARGETS)
def test_a_hello_that_goes_ahead_does_not_follow_a_redirect(clinic: Clinic, target: str) -> None:
    app = clinic.list_application()
    program = Program(app)
    program.client.auth = AgentAuth(clinic.weber.agent)
    assert program.client.get(URL).json() == SHOWN
    program.sent.clear()

    @app.get("/old")
    async def old() -> RedirectResponse:
        return RedirectResponse(target)

    program.client.get("http://testserver/old", follow_redirects=True)
    assert "twinlock-hello" in program.sent[0].headers
    assert len(program.sent) == 2
    assert "twinlock-hello" not in program.sent[1].headers


def moving(app: Any, kind: str, target: str, status: int) -> Any:
    """``app`` behind something that redirects what is posted as ``kind``."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if dict(scope.get("headers", [])).get(b"content-type") == kind.encode():
            answer = RedirectResponse(target, status_code=status)
            await answer(scope, receive, send)
        else:
            await app(scope, receive, send)

    return served


@pytest.mark.parametrize("session", [None, "", "x", "A" * 42, "A" * 44, "\xe9" * 43, "=" * 43])
def test_an_answer_without_a_proper_session_is_told_as_that(
    clinic: Clinic, session: str | None
) -> None:
    headers = {"twinlock-request": "n.AAAAAAAAAAAAAAAAAAAAAA"}
    if session is not None:
        headers["twinlock-session"] = session
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    transport = httpx.MockTransport(lambda _: httpx.Response(428, headers=raw))
    with (
        httpx.Client(transport=transport, auth=AgentAuth(clinic.weber.agent)) as client,
        pytest.raises(DataError) as refused,
    ):
        client.get(URL)
    assert refused.value.code == "http.session-header"
