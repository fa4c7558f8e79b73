"""What the member routes refuse, and that nobody learns who exists from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from tests.http.clinic import TestClient, code
from tests.http.probes import b64, limited, scram_first, wrong_passkey
from tests.http.test_members import WORDS, enrolled, kim, registered, sign_in, with_passkeys
from tests.http.ward import BASE, HERE, Ward, asked, client_of, refusal, service_of, ward_in_memory
from twinlock.agent.agent import Agent
from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay
from twinlock.core.member_change import Login
from twinlock.core.scram.exchange import ChannelBinding
from twinlock.core.scram.keys import scram_keys
from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.integrations.asgi import MemberRoutes
from twinlock.integrations.member_answers import ServiceRefusedError
from twinlock.store.members import MemberStore, PutMember


@pytest.fixture
def ward() -> Iterator[Ward]:
    with ward_in_memory() as made:
        yield made


# --- other sites, other forms ---------------------------------------------------------------------

OFFER = {"account": "kim"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": HERE}, 200),
        ({"origin": "http://localhost:80"}, 200),
        ({"origin": HERE, "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": HERE, "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://agent.localhost"}, 403),
        ({"origin": "http://localhost:8080"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "null", "host": ""}, 403),
        ({"origin": "http://[", "host": "["}, 403),
        ({"origin": "https://localhost.evil.example"}, 403),
    ],
)
def test_only_the_applications_own_pages_may_post(
    ward: Ward, headers: dict[str, str], status: int
) -> None:
    """R-HTTP-20."""
    answer = asked(client_of(ward.application()), "offer", OFFER, **headers)
    assert answer.status_code == status
    if status != 200:
        assert code(answer) == (403, "http.cross-site")


def test_where_a_proxy_changes_the_host_the_origins_are_named(ward: Ward) -> None:
    """R-HTTP-20."""
    client = client_of(ward.application(origins=["https://app.example"]))
    assert asked(client, "offer", OFFER, origin="https://app.example").status_code == 200
    assert refusal(client, "offer", OFFER, origin=HERE) == (403, "http.cross-site")
    assert asked(client, "offer", OFFER).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
def test_what_a_form_can_send_is_refused(ward: Ward, kind: str, status: int) -> None:
    """R-HTTP-20."""
    client = client_of(ward.application())
    answer = client.post(f"{BASE}offer", content=json.dumps(OFFER), headers={"content-type": kind})
    assert answer.status_code == status
    if status != 200:
        assert code(answer) == (415, "http.media-type")


def test_there_are_these_routes_and_no_others(ward: Ward) -> None:
    """R-HTTP-17: and each is there only if the application can serve it."""
    everything, _ = with_passkeys(ward)
    bare = client_of(ward.application(on_sign_in=None))
    no_guard, _ = with_passkeys(ward, member=None, scram=False)
    always = {"offer", "evaluate", "bundle", "full-bundle", "groups", "change"}
    signing = {"login", "sign-in/begin", "sign-in/finish"}
    more = {"scram/first", "scram/final", "register/begin", "register/finish"}
    for client, there in (
        (everything, always | signing | more),
        (bare, always),
        (no_guard, always | signing),
    ):
        for route in always | signing | more | {"", "offer/", "Offer", "nothing"}:
            said = asked(client, route, {}).json().get("code")
            assert (said != "http.no-route") == (route in there), route


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_every_route_takes_post_alone(ward: Ward, method: str) -> None:
    answer = client_of(ward.application()).request(method, f"{BASE}offer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


BAD_BODIES = {
    "offer": ["", "[]", "1", "{", '{"account": 1}', '{"account": ""}', "{}", "[" * 12_000],
    "evaluate": ['{"account": "kim", "kid": "AA", "first": "", "second": ""}'],
    "bundle": [
        '{"name": "kim"}',
        '{"name": "kim", "kinds": []}',
        '{"name": "kim", "kinds": "password"}',
        '{"name": "kim", "kinds": [1]}',
        json.dumps({"name": "kim", "kinds": ["password"] * 9}),
        json.dumps({"name": "k" * 201, "kinds": ["password"]}),
        json.dumps({"name": "kim", "kinds": ["password"], "enrolment_id": "AA"}),
        '{"name": "\\ud800", "kinds": ["password"]}',
    ],
    "full-bundle": ['{"request": "A"}', '{"request": "AB"}', '{"request": "AA=="}'],
    "groups": ['{"hello": "AA"}', json.dumps({"hello": "AA", "request": "!!"})],
    "change": ['{"change": null}', '{"change": ""}'],
    "login": [
        '{"name": "kim", "secret": "AA"}',
        json.dumps({"name": "kim", "secret": b64(bytes(33))}),
    ],
    "scram/first": ["{}"],
    "scram/final": ['{"message": "x"}'],
    "sign-in/begin": ['{"name": 5}'],
    "sign-in/finish": ['{"session": "x", "response": []}', '{"session": 1, "response": {}}'],
}


@pytest.mark.parametrize("route", BAD_BODIES)
def test_a_body_of_another_form_is_refused_and_counts_nothing(ward: Ward, route: str) -> None:
    """R-HTTP-21."""
    client, _ = with_passkeys(ward)
    limited(ward, account_per_hour=1, source_per_hour=1)
    for body in BAD_BODIES[route]:
        answer = client.post(
            f"{BASE}{route}", content=body, headers={"content-type": "application/json"}
        )
        assert code(answer) == (400, "http.body"), body
    assert refusal(client, "login", {"name": "kim", "secret": b64(bytes(32))})[0] == 401


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("route", "most"), [("offer", 16 << 10), ("sign-in/finish", 64 << 10)])
def test_a_body_beyond_its_limit_is_not_read(
    ward: Ward, route: str, most: int, announced: bool
) -> None:
    """R-HTTP-21."""
    client, _ = with_passkeys(ward)
    read = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        while read < 1 << 20:
            read += 4096
            yield b" " * 4096

    content = b" " * (most + 1) if announced else parts()
    answer = client.post(
        f"{BASE}{route}", content=content, headers={"content-type": "application/json"}
    )
    assert code(answer) == (413, "http.too-large")
    fits = client.post(
        f"{BASE}{route}", content=b" " * most, headers={"content-type": "application/json"}
    )
    assert code(fits) == (400, "http.body")


def test_a_change_has_a_limit_of_its_own(ward: Ward) -> None:
    """R-HTTP-21."""
    client = client_of(ward.application(max_change=1000))
    assert refusal(client, "change", {"change": b64(bytes(1001))}) == (400, "http.body")
    assert refusal(client, "change", {"change": b64(bytes(30_000))}) == (413, "http.too-large")
    service = service_of(client_of(ward.application()))
    enrolled(ward, service)


# --- exchanges under way --------------------------------------------------------------------------


def scram_of(ward: Ward, client: Any) -> Any:
    """Kim's SCRAM account, with a proof that is right for the exchange that is begun."""
    scram = Scram(WORDS)
    verifier = scram.new_verifier()
    login = Login("scram", verifier.to_text().reveal())
    service = service_of(client)
    kim(ward).ways.enrol(NewWay([ward.password(service)]), logins=[login], send=service.change)
    keys = scram_keys(WORDS, verifier.salt, verifier.iterations)

    def begun() -> dict[str, str]:
        start, first, _ = scram_first(client, "kim")
        said = first.json()
        proof = start.prove(
            said["message"], keys, salt=verifier.salt, iterations=verifier.iterations
        )
        return {"session": said["session"], "message": proof.final}

    return begun


def test_an_exchange_ends_once_and_within_a_minute(ward: Ward) -> None:
    """R-HTTP-23."""
    client = client_of(ward.application())
    begun = scram_of(ward, client)
    body = begun()
    assert asked(client, "scram/final", body).status_code == 200
    assert refusal(client, "scram/final", body) == (401, "scram.refused")
    in_time, late = begun(), begun()
    ward.world.clock.forward(60)
    assert asked(client, "scram/final", in_time).status_code == 200
    ward.world.clock.forward(1)
    assert refusal(client, "scram/final", late) == (401, "scram.refused")
    wrong = begun()
    assert refusal(client, "scram/final", {**wrong, "message": "c=biws,r=x,p=AA=="})[0] == 401
    assert refusal(client, "scram/final", wrong) == (401, "scram.refused")
    assert len(ward.signed_in) == 2


def test_a_passkeys_ceremony_ends_once_and_in_time(ward: Ward) -> None:
    """R-HTTP-23, R-PASSKEY-6."""
    client, browser = with_passkeys(ward)
    registered(ward, client, browser)

    def begun() -> dict[str, Any]:
        said = asked(client, "sign-in/begin", {"name": "kim"}).json()
        return {"session": said["session"], "response": browser.sign_in(said)[0]}

    late, body = begun(), begun()
    assert asked(client, "sign-in/finish", body).status_code == 200
    assert refusal(client, "sign-in/finish", body) == (401, "passkey.refused")
    ward.world.clock.forward(301)
    assert refusal(client, "sign-in/finish", late) == (401, "passkey.refused")
    other, mine = begun(), begun()
    crossed = {**mine, "session": other["session"]}
    assert refusal(client, "sign-in/finish", crossed) == (401, "passkey.refused")


def test_a_passkey_is_registered_by_the_member_who_began_it(ward: Ward) -> None:
    """R-HTTP-23: signed in, once, and as nobody else."""
    client, browser = with_passkeys(ward)
    assert refusal(client, "register/begin", {"name": "kim"}) == (401, "http.no-session")
    assert refusal(client, "register/finish", {}) == (401, "http.no-session")
    enrolled(ward, service_of(client))
    sign_in(client, ward)
    begun = asked(client, "register/begin", {}).json()
    body = {"session": begun["session"], "response": browser.register(begun, kim(ward).member_id)}
    weber = ward.world.weber.agent
    ward.sessions["weber's"] = weber.member_id
    client.cookies.clear()
    client.cookies.set("session", "weber's")
    assert refusal(client, "register/begin", {"name": "kim"}) == (403, "http.other-member")
    assert refusal(client, "register/finish", body) == (401, "passkey.refused")
    client.cookies.clear()
    sign_in(client, ward)
    # Taken by the first who tried.
    assert refusal(client, "register/finish", body) == (401, "passkey.refused")
    again = asked(client, "register/begin", {"name": "kim"}).json()
    response = browser.register(again, kim(ward).member_id)
    leaked = {**response, "clientExtensionResults": {"prf": {"results": {"first": "AA"}}}}
    told = refusal(client, "register/finish", {"session": again["session"], "response": leaked})
    assert told == (400, "passkey.prf-leaked")


def test_what_a_member_handed_in_that_is_no_passkey_does_not_show(ward: Ward) -> None:
    """R-HTTP-19: their names would be told by an error."""
    client, browser = with_passkeys(ward)
    service = service_of(client)
    rubbish, store = Login("passkey", b"no record"), ward.world.vault.store.members
    with pytest.raises(TwinlockError):
        kim(ward).ways.enrol(
            NewWay([ward.password(service)]), logins=[rubbish], send=service.change
        )
    kim(ward).ways.enrol(NewWay([ward.password(service)]), send=service.change)
    member_id = kim(ward).member_id
    listed, blobs = store.enrolment_list(member_id), store.enrolments(member_id)
    assert listed is not None
    store.put(
        PutMember(
            member_id=member_id,
            name="kim",
            counter=listed.counter + 1,
            signed_list=listed.signed,
            blobs=blobs,
            logins=[("passkey", b"no record")],
        )
    )
    begun = asked(client, "sign-in/begin", {"name": "kim"})
    assert begun.status_code == 200
    assert len(begun.json()["allow"]) == 1
    assert wrong_passkey(client, "kim", browser).json()["code"] == "passkey.refused"


# --- the application's own say, channel binding, faults, logs -------------------------------------


def test_the_application_may_refuse_a_member_like_a_wrong_password(ward: Ward) -> None:
    """R-HTTP-19: and nothing of its answer is sent."""
    client = client_of(ward.application())
    service = service_of(client)
    enrolment = enrolled(ward, service)
    secret = b64(ward.password(service).login_secret(enrolment).reveal())
    ward.barred.add("kim")
    barred = asked(client, "login", {"name": "kim", "secret": secret})
    wrong = asked(client, "login", {"name": "kim", "secret": b64(bytes(32))})
    assert code(barred) == (401, "login.refused")
    assert (barred.content, dict(barred.headers)) == (wrong.content, dict(wrong.headers))
    assert len(ward.signed_in) == 1


def test_what_the_application_says_and_sets_is_sent(ward: Ward) -> None:
    """R-HTTP-17: also where it has to be awaited; it writes over nothing of the exchange."""

    async def welcome(who: Any) -> dict[str, Any]:
        who.response.headers["x-application"] = "yes"
        who.response.headers["cache-control"] = "public"
        who.response.set_cookie("one", "1")
        who.response.set_cookie("two", "2")
        return {"message": "mine", "way": who.way}

    client = client_of(ward.application(on_sign_in=welcome))
    answer = asked(client, "scram/final", scram_of(ward, client)())
    assert answer.json()["way"] == "scram"
    assert answer.json()["message"].startswith("v=")
    assert (answer.headers["x-application"], answer.headers["cache-control"]) == ("yes", "no-store")
    assert len(answer.headers.get_list("set-cookie")) == 2


def test_with_channel_binding_clients_must_bind(ward: Ward) -> None:
    """R-SCRAM-7."""
    binding = ChannelBinding("tls-server-end-point", b"hash")
    client = client_of(ward.application(binding=binding))
    service = service_of(client)
    scram = Scram(WORDS)
    login = Login("scram", scram.new_verifier().to_text().reveal())
    kim(ward).ways.enrol(NewWay([ward.password(service)]), logins=[login], send=service.change)
    scram.meet("kim", service, binding=binding)
    for given in (None, ChannelBinding("tls-server-end-point", b"another")):
        with pytest.raises(CallerError) as caught:
            Scram(WORDS).meet("kim", service, binding=given)
        assert caught.value.code == "scram.refused"
    assert [who.way for who in ward.signed_in] == ["scram"]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (EnvError("token.session-lost", "/etc/secret", retryable=True), 503, "http.unavailable"),
        (EnvError("token.pin-refused", "/etc/secret"), 500, "http.failed"),
        (CallerError("config.invalid", "/etc/secret"), 500, "http.failed"),
    ],
)
def test_faults_say_that_they_happened_and_no_more(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, told: str
) -> None:
    """R-HTTP-14."""

    def failing(*given: Any, **named: Any) -> Any:
        raise error

    monkeypatch.setattr(MemberStore, "member", failing)
    client = client_of(ward.application())
    for route, body in (
        ("login", {"name": "kim", "secret": b64(bytes(32))}),
        ("bundle", {"name": "kim", "kinds": ["password"]}),
    ):
        answer = asked(client, route, body)
        assert code(answer) == (status, told)
        assert "secret" not in answer.text.replace("hint", "")


def test_too_many_calls_at_once_are_sent_away(ward: Ward) -> None:
    client = client_of(ward.application(max_waiting=0))
    assert refusal(client, "offer", OFFER) == (503, "http.busy")


def test_the_log_tells_what_happened_and_no_secret(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    """R-HTTP-24."""
    client = client_of(ward.application())
    service = service_of(client)
    enrolment = enrolled(ward, service)
    secret = ward.password(service).login_secret(enrolment)
    final = scram_of(ward, client)()
    with caplog.at_level(logging.DEBUG, "twinlock"):
        service.log_in(secret)
        asked(client, "scram/final", final)
        asked(client, "login", {"name": "typed password", "secret": b64(bytes(32))})
        asked(client, "scram/final", final)
    assert f"signed in: split, member {kim(ward).member_id.hex()}" in caplog.text
    assert "sign-in refused: split, login.refused" in caplog.text
    for hidden in (b64(secret.reveal()), secret.reveal().hex(), final["message"], "typed"):
        assert hidden not in caplog.text


def test_it_runs_by_itself_too(ward: Ward) -> None:
    """Without a framework around it: start and end of the server, no WebSocket."""
    routes = MemberRoutes(ward.world.vault, clock=ward.world.clock)
    with TestClient(routes, base_url=HERE) as client:
        assert client.post("/offer", json=OFFER).status_code == 200
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/offer"):
            pass


def test_an_agent_without_a_list_at_the_server_is_told_so(ward: Ward) -> None:
    """R-HTTP-22: once it proved who it is."""
    service = service_of(client_of(ward.application()))
    agent: Agent = ward.world.weber.agent
    with pytest.raises(ServiceRefusedError) as caught:
        service.full_bundle(agent.bundle_request())
    assert caught.value.code == "member.unknown"
    agent.follow(service.groups(agent.hello(), agent.bundle_request()))
    with pytest.raises(ServiceRefusedError) as caught:
        service.groups(ward.world.kim.agent.hello(), agent.bundle_request())
    assert caught.value.code == "member.not-proved"
    old = agent.bundle_request()
    ward.world.clock.forward(121)
    with pytest.raises(ServiceRefusedError) as caught:
        service.groups(agent.hello(), old)
    assert caught.value.code == "request.expired"
