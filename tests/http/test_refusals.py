"""Hello and release that are wrong, late, replayed, foreign, garbage or too large."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.http.clinic import (
    HELLO,
    RELEASE,
    Clinic,
    Talk,
    client_for,
    clinic_in_memory,
    code,
    session_of,
)
from twinlock.core.release import sign_message, split_signed
from twinlock.integrations.asgi import pending as pending_module
from twinlock.integrations.asgi.wire import MAX_HELLO_BODY, MAX_RELEASE_BODY

UNKNOWN = "elsewhere.AAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def talk(clinic: Clinic) -> Talk:
    return Talk(client_for(clinic.list_application()), "/patients", clinic.weber)


def other(talk: Talk, session: str | None, url: str = "/patients") -> Talk:
    """The same application, as another browser sees it."""
    return Talk(client_for(talk.client.app, session), url, talk.agent)


Attempt = Callable[[Clinic, Talk], Any]


def hello_without_session(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return other(talk, None).hello(asked)


def hello_of_another_session(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return other(talk, "weber-2").hello(asked)


def hello_for_another_session(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return talk.post(asked, HELLO, clinic.weber.hello(session=bytes(32)))


def hello_without_a_login_session(clinic: Clinic, talk: Talk) -> Any:
    return talk.post(talk.client.get("/patients"), HELLO, clinic.kim.hello())


def hello_of_another_member(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return talk.post(asked, HELLO, clinic.kim.hello(session=session_of(asked)))


def hello_in_the_header_of_another_member(clinic: Clinic, talk: Talk) -> Any:
    import base64

    said = clinic.kim.hello(session=session_of(talk.client.get("/patients")))
    header = {"twinlock-hello": base64.urlsafe_b64encode(said).decode()}
    return talk.client.get("/patients", headers=header)


def hello_of_another_deployment(clinic: Clinic, talk: Talk) -> Any:
    with clinic_in_memory() as foreign:
        asked = talk.client.get("/patients")
        said = foreign.weber.hello(session=session_of(asked))
        member = clinic.weber.agent.member_id
        said = said.replace(foreign.weber.agent.member_id, member)
        return talk.post(asked, HELLO, said)


def hello_at_another_address(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return other(talk, "weber-1", "/patients?ward=3B").hello(asked)


def hello_for_an_unknown_request(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return talk.hello(asked, **{"twinlock-request": UNKNOWN})


def hello_naming_nothing(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    return talk.hello(asked, **{"twinlock-request": "x"})


def hello_of_garbage(clinic: Clinic, talk: Talk) -> Any:
    return talk.post(talk.client.get("/patients"), HELLO, b"\x80")


def hello_in_the_header_of_garbage(clinic: Clinic, talk: Talk) -> Any:
    return talk.client.get("/patients", headers={"twinlock-hello": "*"})


def hello_in_the_header_of_nothing(clinic: Clinic, talk: Talk) -> Any:
    return talk.client.get("/patients", headers={"twinlock-hello": ""})


def hello_too_large(clinic: Clinic, talk: Talk) -> Any:
    return talk.post(talk.client.get("/patients"), HELLO, bytes(MAX_HELLO_BODY + 1))


def hello_in_the_header_too_large(clinic: Clinic, talk: Talk) -> Any:
    return talk.client.get("/patients", headers={"twinlock-hello": "A" * 8193})


def hello_after_the_end(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    clinic.clock.forward(pending_module.WAIT_FOR_HELLO + 1)
    return talk.hello(asked)


def hello_too_often(clinic: Clinic, talk: Talk) -> Any:
    asked = talk.client.get("/patients")
    for _ in range(pending_module.MAX_HELLOS):
        assert talk.hello(asked).status_code == 428
    return talk.hello(asked)


def hello_from_another_site(clinic: Clinic, talk: Talk) -> Any:
    return talk.hello(talk.client.get("/patients"), **{"sec-fetch-site": "cross-site"})


def released_by(talk: Talk, change: Callable[[bytes], bytes] = bytes, **headers: str) -> Any:
    asked, bundle = talk.bound()
    return talk.post(asked, RELEASE, change(talk.agent.release(bundle).raw), **headers)


def release_without_session(clinic: Clinic, talk: Talk) -> Any:
    asked, bundle = talk.bound()
    return other(talk, None).release(asked, bundle)


def release_in_another_session(clinic: Clinic, talk: Talk) -> Any:
    asked, bundle = talk.bound()
    return other(talk, "weber-2").release(asked, bundle)


def release_of_another_request(clinic: Clinic, talk: Talk) -> Any:
    first, _ = talk.bound()
    _, bundle = talk.bound()
    return talk.release(first, bundle)


def release_at_another_address(clinic: Clinic, talk: Talk) -> Any:
    asked, bundle = talk.bound()
    return other(talk, "weber-1", "/patients?ward=3B").release(asked, bundle)


def release_signed_by_another_member(clinic: Clinic, talk: Talk) -> Any:
    kim = clinic.kim.agent._unlocked().signing
    return released_by(talk, lambda raw: sign_message(split_signed(raw)[0], kim))


def release_of_a_member_who_was_removed(clinic: Clinic, talk: Talk) -> Any:
    kim = Talk(client_for(talk.client.app, "kim-1"), "/patients", clinic.kim)
    asked, bundle = kim.bound()
    group = clinic.deployment.groups["cardiology"].group_id
    removal = clinic.weber.agent.admin.remove(group, clinic.kim.agent.member_id)
    clinic.deployment.vault.append(removal)
    return kim.release(asked, bundle)


def release_of_garbage(clinic: Clinic, talk: Talk) -> Any:
    return released_by(talk, lambda raw: b"garbage")


def release_damaged(clinic: Clinic, talk: Talk) -> Any:
    return released_by(talk, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))


def release_of_a_signed_message_of_another_kind(clinic: Clinic, talk: Talk) -> Any:
    signing = clinic.weber.agent._unlocked().signing
    return released_by(talk, lambda raw: sign_message(b"\x80", signing))


def release_too_large(clinic: Clinic, talk: Talk) -> Any:
    return released_by(talk, lambda raw: bytes(MAX_RELEASE_BODY + 1))


def release_replayed(clinic: Clinic, talk: Talk) -> Any:
    asked, bundle = talk.bound()
    release = talk.agent.release(bundle).raw
    assert talk.post(asked, RELEASE, release).status_code == 200
    return talk.post(asked, RELEASE, release)


def release_of_another_run_replayed(clinic: Clinic, talk: Talk) -> Any:
    """The vault's own store refuses it too, whatever this process remembers."""
    asked, bundle = talk.bound()
    release = talk.agent.release(bundle).raw
    middleware = middleware_of(talk)
    found = next(iter(middleware._pending._waiting.values()))
    clinic.deployment.vault.open(found.request, release)
    return talk.post(asked, RELEASE, release)


def release_after_the_end(clinic: Clinic, talk: Talk) -> Any:
    asked, bundle = talk.bound()
    release = talk.agent.release(bundle).raw
    clinic.clock.forward(121)
    return talk.post(asked, RELEASE, release)


def release_from_another_site(clinic: Clinic, talk: Talk) -> Any:
    return released_by(talk, **{"sec-fetch-site": "cross-site"})


def middleware_of(talk: Talk) -> Any:
    found = talk.client.app.middleware_stack
    while not hasattr(found, "_pending"):
        found = found.app
    return found


def of_no_record(clinic: Clinic, talk: Talk) -> Any:
    """All records are for a group that the member is not in."""
    clinic.patients.clear()
    clinic.admit("Eve", "R07", "data-office")
    return talk.hello(talk.client.get("/patients"))


def ask_without_session(clinic: Clinic, talk: Talk) -> Any:
    return client_for(talk.client.app, None).get("/patients")


def ask_without_member(clinic: Clinic, talk: Talk) -> Any:
    return client_for(talk.client.app, "clerk-1").get("/patients")


REFUSALS: list[tuple[Attempt, int, str]] = [
    (ask_without_session, 401, "http.no-session"),
    (ask_without_member, 403, "http.no-member"),
    (hello_without_session, 401, "http.no-session"),
    (hello_of_another_session, 403, "http.other-session"),
    (hello_for_another_session, 403, "http.other-session"),
    (hello_without_a_login_session, 403, "http.other-session"),
    (hello_of_another_member, 403, "http.other-member"),
    (hello_in_the_header_of_another_member, 403, "http.other-member"),
    (hello_of_another_deployment, 403, "hello.foreign"),
    (hello_at_another_address, 403, "http.other-request"),
    (hello_for_an_unknown_request, 409, "http.request-unknown"),
    (hello_naming_nothing, 400, "http.request-id"),
    (hello_of_garbage, 400, "hello.malformed"),
    (hello_in_the_header_of_garbage, 400, "hello.malformed"),
    (hello_in_the_header_of_nothing, 400, "hello.malformed"),
    (hello_too_large, 413, "http.too-large"),
    (hello_in_the_header_too_large, 431, "http.header-too-large"),
    (hello_after_the_end, 410, "http.request-expired"),
    (hello_too_often, 429, "http.hellos"),
    (hello_from_another_site, 403, "http.cross-site"),
    (release_without_session, 401, "http.no-session"),
    (release_in_another_session, 403, "http.other-session"),
    (release_of_another_request, 403, "release.not-authentic"),
    (release_at_another_address, 403, "http.other-request"),
    (release_signed_by_another_member, 403, "release.not-authentic"),
    (release_of_a_member_who_was_removed, 403, "release.not-authentic"),
    (release_of_garbage, 400, "release.malformed"),
    (release_damaged, 403, "release.not-authentic"),
    (release_of_a_signed_message_of_another_kind, 400, "release.malformed"),
    (release_too_large, 413, "http.too-large"),
    (release_replayed, 409, "release.replayed"),
    (release_of_another_run_replayed, 409, "release.replayed"),
    (release_after_the_end, 410, "http.request-expired"),
    (release_from_another_site, 403, "http.cross-site"),
    (of_no_record, 403, "record.no-lock"),
]


@pytest.mark.parametrize(("attempt", "status", "expected"), REFUSALS)
def test_what_is_wrong_is_refused_with_a_problem(
    clinic: Clinic, talk: Talk, attempt: Attempt, status: int, expected: str
) -> None:
    """R-HTTP-3, R-HTTP-8, R-HTTP-10, R-HTTP-11, R-HTTP-12, R-HTTP-14."""
    assert code(attempt(clinic, talk)) == (status, expected)


def test_garbage_does_not_use_up_the_request(clinic: Clinic, talk: Talk) -> None:
    asked, bundle = talk.bound()
    assert code(talk.post(asked, RELEASE, b"garbage")) == (400, "release.malformed")
    assert talk.release(asked, bundle).status_code == 200


def test_a_body_without_a_length_is_not_read_beyond_the_limit(clinic: Clinic, talk: Talk) -> None:
    """R-HTTP-11."""
    asked, read = talk.client.get("/patients"), []

    def endless() -> Any:
        for number in range(1000):
            read.append(number)
            yield bytes(1 << 18)

    headers = {"content-type": HELLO, "twinlock-request": asked.headers["twinlock-request"]}
    assert "content-length" not in headers
    refused = talk.client.post("/patients", content=endless(), headers=headers)
    assert code(refused) == (413, "http.too-large")


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_pages_of_the_own_site_may_answer(clinic: Clinic, talk: Talk, site: str) -> None:
    assert released_by(talk, **{"sec-fetch-site": site}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""]
)
def test_what_a_form_can_send_is_no_release(clinic: Clinic, talk: Talk, kind: str) -> None:
    """R-HTTP-12: the content types that need no preflight reach the handler as any POST does."""
    asked, bundle = talk.bound()
    posted = talk.post(asked, kind, talk.agent.release(bundle).raw)
    assert posted.status_code == 405
    assert clinic.runs == ["patients"]
    assert talk.release(asked, bundle).status_code == 200


def test_no_answer_allows_another_origin_anything(clinic: Clinic, talk: Talk) -> None:
    asked = talk.client.get("/patients", headers={"origin": "https://evil.example"})
    bundle = talk.hello(asked, origin="https://evil.example")
    preflight = talk.client.options(
        "/patients",
        headers={
            "origin": "https://evil.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "twinlock-request",
        },
    )
    for answer in (asked, bundle, preflight):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert preflight.status_code == 405


def test_a_stolen_cookie_alone_opens_nothing(clinic: Clinic, talk: Talk) -> None:
    thief = Talk(client_for(talk.client.app, "weber-1"), "/patients", clinic.kim)
    asked = thief.client.get("/patients")
    assert code(asked) == (428, "http.release-needed")
    assert code(thief.hello(asked)) == (403, "http.other-member")
    assert code(talk.client.get("/patients")) == (428, "http.release-needed")


def test_of_two_releases_for_one_request_one_opens(clinic: Clinic, talk: Talk) -> None:
    """R-HTTP-10."""
    asked, bundle = talk.bound()
    releases = [talk.agent.release(bundle).raw for _ in range(2)]
    together = threading.Barrier(2)
    answers = []

    def post(release: bytes) -> None:
        client = client_for(talk.client.app)
        together.wait(30)
        answers.append(Talk(client, "/patients", talk.agent).post(asked, RELEASE, release))

    threads = [threading.Thread(target=post, args=(release,)) for release in releases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(clinic.runs) == 2


def test_a_client_that_goes_away_is_no_error(clinic: Clinic, talk: Talk) -> None:
    asked = talk.client.get("/patients")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/patients",
        "raw_path": b"/patients",
        "query_string": b"",
        "headers": [
            (b"cookie", b"session=weber-1"),
            (b"content-type", HELLO.encode()),
            (b"twinlock-request", asked.headers["twinlock-request"].encode()),
        ],
    }

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    asyncio.run(middleware_of(talk)(scope, gone, send))
