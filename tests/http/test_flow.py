"""A page that needs a release: asked for, answered, shown; by every kind of handler and method."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from fastapi import Depends
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.http.clinic import PROBLEM, REQUEST, Clinic, Talk, client_for, code, session_of
from twinlock.integrations.fastapi import Releases, TwinlockMiddleware, releases

SHOWN = [{"name": "Ada", "diagnosis": "I48.0"}, {"name": "Ben", "diagnosis": "I10"}]


def fastapi_async(clinic: Clinic) -> Any:
    return clinic.list_application()


def fastapi_sync(clinic: Clinic) -> Any:
    app = clinic.application()

    @app.get("/patients")
    def patients(release: Releases = Depends(releases(purpose="ward round"))) -> list[Any]:
        clinic.runs.append("patients")
        return [view.shown() for view in release.sync.opened(clinic.patients)]

    return app


def starlette(clinic: Clinic, endpoint: Any) -> Any:
    app = Starlette(routes=[Route("/patients", endpoint)])
    app.add_middleware(TwinlockMiddleware, **clinic.options())
    return app


def starlette_async(clinic: Clinic) -> Any:
    async def patients(request: Request) -> JSONResponse:
        clinic.runs.append("patients")
        views = await Releases.of(request, purpose="ward round").opened(clinic.patients)
        return JSONResponse([view.shown() for view in views])

    return starlette(clinic, patients)


def starlette_sync(clinic: Clinic) -> Any:
    def patients(request: Request) -> JSONResponse:
        clinic.runs.append("patients")
        views = Releases.of(request, purpose="ward round").sync.opened(clinic.patients)
        return JSONResponse([view.shown() for view in views])

    return starlette(clinic, patients)


def starlette_wrapped(clinic: Clinic) -> Any:
    """The middleware outside of what turns exceptions into 500."""

    async def patients(request: Request) -> JSONResponse:
        clinic.runs.append("patients")
        views = await Releases.of(request, purpose="ward round").opened(clinic.patients)
        return JSONResponse([view.shown() for view in views])

    inside = Starlette(routes=[Route("/patients", patients)])
    return TwinlockMiddleware(inside, **clinic.options())


def bare_asgi(clinic: Clinic) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        clinic.runs.append("patients")
        release = Releases.of(Request(scope, receive), purpose="ward round")
        response = JSONResponse([v.shown() for v in await release.opened(clinic.patients)])
        await response(scope, receive, send)

    return TwinlockMiddleware(app, **clinic.options())


APPLICATIONS = [
    fastapi_async,
    fastapi_sync,
    starlette_async,
    starlette_sync,
    starlette_wrapped,
    bare_asgi,
]


@pytest.mark.parametrize("make", APPLICATIONS)
def test_a_page_is_asked_for_answered_and_shown(clinic: Clinic, make: Any) -> None:
    """R-HTTP-1, R-HTTP-4, R-HTTP-6."""
    client = client_for(make(clinic))
    talk = Talk(client, "/patients?ward=3B", clinic.weber)
    asked = client.get("/patients?ward=3B")
    assert code(asked) == (428, "http.release-needed")
    bundle = talk.hello(asked)
    assert (bundle.status_code, bundle.headers["content-type"]) == (428, REQUEST)
    assert "ward round" in clinic.weber.agent.describe(bundle.content)
    assert len(clinic.runs) == 1
    shown = talk.release(asked, bundle.content)
    assert (shown.status_code, shown.json()) == (200, SHOWN)
    assert shown.headers["cache-control"] == "no-store"
    assert len(clinic.runs) == 2


def test_the_first_answer_names_request_and_session(clinic: Clinic) -> None:
    """R-HTTP-1, R-HTTP-2."""
    asked = client_for(clinic.list_application(node="web1")).get("/patients")
    node, _, name = asked.headers["twinlock-request"].partition(".")
    assert node == "web1"
    assert len(base64.urlsafe_b64decode(name + "==")) == 16
    token = b"weber-1"
    expected = hashlib.sha256(b"twinlock/v1/http-session" + token).digest()
    assert session_of(asked) == expected
    assert asked.headers["vary"] == "Cookie, Authorization, Twinlock-Hello, Twinlock-Release"
    assert asked.headers["cache-control"] == "no-store"


def test_each_request_and_each_process_has_a_name_of_its_own(clinic: Clinic) -> None:
    one, other = (client_for(clinic.list_application()) for _ in range(2))
    names = [c.get("/patients").headers["twinlock-request"] for c in (one, one, other)]
    assert len(set(names)) == 3
    assert len({name.partition(".")[0] for name in names}) == 2


def test_a_hello_with_the_request_saves_a_round_trip(clinic: Clinic) -> None:
    """R-HTTP-5."""
    client = client_for(clinic.list_application())
    session = session_of(client.get("/patients"))
    asked = client.get("/patients", headers={"twinlock-hello": header(clinic, session)})
    assert (asked.status_code, asked.headers["content-type"]) == (428, REQUEST)
    assert session_of(asked) == session
    shown = Talk(client, "/patients", clinic.weber).release(asked, asked.content)
    assert shown.json() == SHOWN


def header(clinic: Clinic, session: bytes) -> str:
    return base64.urlsafe_b64encode(clinic.weber.hello(session=session)).decode()


def test_a_hello_of_a_session_that_ended_is_answered_with_the_new_one(clinic: Clinic) -> None:
    """R-HTTP-5."""
    app = clinic.list_application()
    old = session_of(client_for(app, "weber-1").get("/patients"))
    asked = client_for(app, "weber-2").get(
        "/patients", headers={"twinlock-hello": header(clinic, old)}
    )
    assert code(asked) == (428, "http.release-needed")
    assert session_of(asked) != old


def test_head_is_answered_like_get_without_a_body(clinic: Clinic) -> None:
    """R-HTTP-6."""
    app = clinic.application()

    @app.api_route("/patients", methods=["GET", "HEAD"])
    async def patients(release: Releases = Depends(releases())) -> Response:
        views = await release.opened(clinic.patients)
        return JSONResponse([v.shown() for v in views], headers={"etag": '"1"'})

    client = client_for(app)
    session = session_of(client.get("/patients"))
    asked = client.head("/patients", headers={"twinlock-hello": header(clinic, session)})
    assert (asked.status_code, asked.headers["content-type"]) == (428, PROBLEM)
    talk = Talk(client, "/patients", clinic.weber)
    asked, bundle = talk.bound(asked)
    shown = talk.release(asked, bundle)
    assert (shown.status_code, shown.content, shown.headers["etag"]) == (200, b"", '"1"')
    assert "content-length" not in shown.headers


def test_a_conditional_request_is_answered_as_the_handler_does(clinic: Clinic) -> None:
    app = clinic.application()

    @app.get("/patients")
    async def patients(request: Request, release: Releases = Depends(releases())) -> Response:
        await release.opened(clinic.patients)
        known = request.headers.get("if-none-match") == '"1"'
        return Response(status_code=304 if known else 200, headers={"etag": '"1"'})

    client = client_for(app)
    talk = Talk(client, "/patients", clinic.weber)
    asked, bundle = talk.bound()
    again = talk.release(asked, bundle, **{"if-none-match": '"1"'})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-store")


def test_the_handler_sees_the_request_that_it_answers(clinic: Clinic) -> None:
    """R-HTTP-6."""
    app, seen = clinic.application(), []

    @app.get("/patients/{number}")
    async def patient(
        number: int, request: Request, release: Releases = Depends(releases())
    ) -> None:
        names = {"content-type", "content-length"} & set(request.headers)
        seen.append((request.method, number, request.query_params["q"], names))
        seen.append(await request.body())
        await release.opened(clinic.patients[:1])

    client = client_for(app)
    talk = Talk(client, "/patients/1?q=%C3%A4", clinic.weber)
    asked, bundle = talk.bound()
    assert talk.release(asked, bundle).status_code == 200
    assert seen == [("GET", 1, "ä", set()), b""] * 2


def test_an_answer_without_sealed_data_is_left_as_it_is(clinic: Clinic) -> None:
    app = clinic.application()

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> Response:
        assert await release.opened([]) == []
        assert await release.open([]) == []
        plain = await release.opened([clinic.admit("Cy", None)])
        return JSONResponse([v.shown() for v in plain], headers={"cache-control": "max-age=9"})

    shown = client_for(app, session=None).get("/patients")
    assert (shown.status_code, shown.json()) == (200, [{"name": "Cy", "diagnosis": None}])
    assert shown.headers["cache-control"] == "max-age=9"


def test_pairs_open_like_rows_and_the_same_one_twice_costs_one_release(clinic: Clinic) -> None:
    app = clinic.application()
    ada, ben = clinic.patients

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> list[str]:
        pairs = [(p.context, p.stored) for p in (ada, ben, ada)]
        return [opened.text().reveal() for opened in await release.open(pairs)]

    client = client_for(app)
    with clinic.weber.releasing(client) as made:
        assert client.get("/patients").json() == ["I48.0", "I10", "I48.0"]
    assert len(made) == 1
    spent = clinic.weber.agent.status().released_this_hour
    assert spent[clinic.deployment.groups["cardiology"].group_id] == 2


def test_a_forged_record_is_shown_as_such_beside_the_others(clinic: Clinic) -> None:
    stored = clinic.patients[0].stored
    assert stored is not None
    clinic.patients[0].stored = stored[:-1] + bytes([stored[-1] ^ 1])
    client = client_for(clinic.list_application())
    with clinic.weber.releasing(client):
        shown = client.get("/patients").json()
    assert shown == [{"name": "Ada", "error": "data.not-authentic"}, SHOWN[1]]


def test_nobody_is_asked_where_no_record_can_be_released(clinic: Clinic) -> None:
    for patient in clinic.patients:
        patient.stored = b"forged"
    shown = client_for(clinic.list_application()).get("/patients")
    assert [entry["error"] for entry in shown.json()] == ["format.malformed"] * 2


def test_groups_that_a_page_expects_are_the_only_ones_that_count(clinic: Clinic) -> None:
    clinic.admit("Eve", "R07", "emergency")
    app = clinic.application()

    @app.get("/patients")
    async def patients(
        release: Releases = Depends(releases(groups=[clinic.deployment.groups["cardiology"]])),
    ) -> list[Any]:
        return [view.shown() for view in await release.opened(clinic.patients)]

    client = client_for(app)
    with clinic.weber.releasing(client):
        shown = client.get("/patients").json()
    assert shown == [*SHOWN, {"name": "Eve", "error": "data.not-authentic"}]


class TestWhatIsAskedOnTheRepeat:
    def test_other_content_begins_anew(self, clinic: Clinic) -> None:
        """R-HTTP-9."""
        client = client_for(clinic.list_application())
        talk = Talk(client, "/patients", clinic.weber)
        asked, bundle = talk.bound()
        clinic.admit("Eve", "R07")
        again = talk.release(asked, bundle)
        assert code(again) == (428, "http.release-needed")
        assert again.headers["twinlock-request"] != asked.headers["twinlock-request"]
        _, bundle = talk.bound(again)
        assert len(talk.release(again, bundle).json()) == 3

    def test_a_record_that_was_written_meanwhile_is_asked_for_again(self, clinic: Clinic) -> None:
        """R-HTTP-9."""
        client = client_for(clinic.list_application())
        talk = Talk(client, "/patients", clinic.weber)
        asked, bundle = talk.bound()
        newer = clinic.deployment.vault.seal(
            "I49", to=clinic.deployment.groups["cardiology"], context=clinic.patients[0].context
        )
        clinic.patients[0].stored = newer.to_bytes()
        assert code(talk.release(asked, bundle)) == (428, "http.release-needed")

    def test_fewer_records_are_shown_with_what_was_released(self, clinic: Clinic) -> None:
        client = client_for(clinic.list_application())
        talk = Talk(client, "/patients", clinic.weber)
        asked, bundle = talk.bound()
        clinic.patients.pop()
        assert talk.release(asked, bundle).json() == SHOWN[:1]

    def test_a_handler_that_needs_nothing_any_more_just_answers(self, clinic: Clinic) -> None:
        client = client_for(clinic.list_application())
        talk = Talk(client, "/patients", clinic.weber)
        asked, bundle = talk.bound()
        clinic.patients.clear()
        assert talk.release(asked, bundle).json() == []


class TestSeveralCallsInOneHandler:
    def application(self, clinic: Clinic, calls: int) -> Any:
        app = clinic.application()

        @app.get("/patients")
        async def patients(release: Releases = Depends(releases())) -> list[Any]:
            found = []
            for patient in clinic.patients[:calls]:
                found += await release.opened([patient])
            return [view.shown() for view in found]

        return app

    def test_each_call_is_a_round_of_its_own(self, clinic: Clinic) -> None:
        clinic.admit("Eve", "R07")
        client = client_for(self.application(clinic, 3))
        with clinic.weber.releasing(client) as made:
            assert len(client.get("/patients").json()) == 3
        assert len(made) == 3

    def test_their_number_is_bounded(self, clinic: Clinic) -> None:
        clinic.admit("Eve", "R07")
        clinic.admit("Fay", "R06")
        client = client_for(self.application(clinic, 4))
        with clinic.weber.releasing(client):
            assert code(client.get("/patients")) == (500, "http.failed")

    def test_what_was_opened_is_opened_again_without_a_round(self, clinic: Clinic) -> None:
        app = clinic.application()

        @app.get("/patients")
        async def patients(release: Releases = Depends(releases())) -> list[Any]:
            views = [*await release.opened(clinic.patients)]
            views += await release.opened(clinic.patients[1:])
            return [view.shown() for view in views]

        client = client_for(app)
        with clinic.weber.releasing(client) as made:
            assert client.get("/patients").json() == [*SHOWN, SHOWN[1]]
        assert len(made) == 1

    def test_calls_at_the_same_time_end_like_calls_one_after_the_other(
        self, clinic: Clinic
    ) -> None:
        import asyncio

        app = clinic.application()

        @app.get("/patients")
        async def patients(release: Releases = Depends(releases())) -> list[Any]:
            found = await asyncio.gather(*(release.opened([p]) for p in clinic.patients))
            return [views[0].shown() for views in found]

        client = client_for(app)
        with clinic.weber.releasing(client):
            assert client.get("/patients").json() == SHOWN

    def test_two_purposes_in_one_request_are_refused(self, clinic: Clinic) -> None:
        app, codes = clinic.application(), []

        @app.get("/patients")
        async def patients(
            one: Releases = Depends(releases(purpose="one")),
            two: Releases = Depends(releases(purpose="two")),
        ) -> None:
            from twinlock import CallerError

            await one.opened(clinic.patients[:1])
            for rows in (clinic.patients[1:], clinic.patients[:1]):
                with pytest.raises(CallerError) as refused:
                    await two.opened(rows)
                codes.append(refused.value.code)

        client = client_for(app)
        with clinic.weber.releasing(client):
            client.get("/patients")
        assert codes == ["http.one-purpose"] * 2


def test_an_application_may_answer_without_a_release(clinic: Clinic) -> None:
    from twinlock.integrations.asgi import ReleaseNeeded

    app = clinic.application()

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> list[Any]:
        try:
            return [view.shown() for view in await release.opened(clinic.patients)]
        except ReleaseNeeded:
            return [{"name": patient.name} for patient in clinic.patients]

    assert client_for(app).get("/patients").json() == [{"name": "Ada"}, {"name": "Ben"}]


def test_async_questions_about_session_and_member_are_awaited(clinic: Clinic) -> None:
    async def session(connection: Any) -> bytes | None:
        return connection.cookies.get("session").encode()

    async def member(connection: Any) -> bytes | None:
        return clinic.member_of(connection)

    client = client_for(clinic.list_application(session=session, member=member))
    with clinic.weber.releasing(client):
        assert client.get("/patients").json() == SHOWN


def test_other_connections_pass_as_they_are(clinic: Clinic) -> None:
    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kinds.append((scope["type"], "twinlock" in scope))

    import asyncio

    middleware = TwinlockMiddleware(app, **clinic.options())
    for kind in ("lifespan", "websocket"):
        asyncio.run(middleware({"type": kind}, None, None))  # type: ignore[arg-type]
    assert kinds == [("lifespan", False), ("websocket", False)]


def test_without_the_middleware_a_handler_is_told_so(clinic: Clinic) -> None:
    from twinlock import CallerError

    with pytest.raises(CallerError) as refused:
        Releases.of(Request({"type": "http", "headers": []}))
    assert refused.value.code == "http.no-middleware"
