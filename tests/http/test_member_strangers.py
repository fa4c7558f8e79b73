"""Nobody learns from the member routes who exists, and nobody tries for long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.clinic import code
from tests.http.probes import (
    STRANGER,
    b64,
    hello_of,
    limited,
    scram_first,
    unsigned,
    wrong_final,
    wrong_passkey,
)
from tests.http.test_members import WORDS, enrolled, kim, registered, with_passkeys
from tests.http.ward import Ward, asked, client_of, refusal, service_of, ward_in_memory
from twinlock.agent.arrival import Arrival
from twinlock.agent.factors import DeviceKey
from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay
from twinlock.core.member_change import Login
from twinlock.errors import DataError
from twinlock.store.members import MemberStore


@pytest.fixture
def ward() -> Iterator[Ward]:
    with ward_in_memory() as made:
        yield made


@pytest.fixture
def known(ward: Ward, tmp_path: Any) -> tuple[Any, Any]:
    """Kim has every kind of way in and sign-in."""
    client, browser = with_passkeys(ward)
    registered(ward, client, browser)
    service = service_of(client)
    enrolled(ward, service)
    scram, key = Scram(WORDS), DeviceKey.create(tmp_path / "other.key")
    login = Login("scram", scram.new_verifier().to_text().reveal())
    kim(ward).ways.enrol(NewWay([scram, key]), logins=[login], send=service.change)
    return client, browser


PROBES = {
    "offer": lambda ward, client, name, browser: asked(client, "offer", {"account": name}),
    "bundle": lambda ward, client, name, browser: asked(
        client, "bundle", {"name": name, "kinds": ["password"]}
    ),
    "bundle of factors that kim has not": lambda ward, client, name, browser: asked(
        client, "bundle", {"name": name, "kinds": ["recovery-code"]}
    ),
    "bundle of unknown factors": lambda ward, client, name, browser: asked(
        client, "bundle", {"name": name, "kinds": ["smart-card"]}
    ),
    "bundle of an id": lambda ward, client, name, browser: asked(
        client, "bundle", {"name": name, "kinds": ["password"], "enrolment_id": b64(bytes(16))}
    ),
    "full-bundle": lambda ward, client, name, browser: asked(
        client, "full-bundle", {"request": b64(unsigned(ward, client, name))}
    ),
    "groups": lambda ward, client, name, browser: asked(
        client,
        "groups",
        {
            "hello": b64(hello_of(ward, client, name)),
            "request": b64(unsigned(ward, client, name)),
        },
    ),
    "login": lambda ward, client, name, browser: asked(
        client, "login", {"name": name, "secret": b64(bytes(32))}
    ),
    "scram/first": lambda ward, client, name, browser: scram_first(client, name)[1],
    "scram/final": lambda ward, client, name, browser: wrong_final(client, name),
    "sign-in/begin": lambda ward, client, name, browser: asked(
        client, "sign-in/begin", {"name": name}
    ),
    "sign-in/finish": lambda ward, client, name, browser: wrong_passkey(client, name, browser),
}


def test_no_answer_tells_a_member_from_a_stranger(ward: Ward, known: tuple[Any, Any]) -> None:
    """R-HTTP-19: same status, headers and size; the same bytes wherever it is refused."""
    client, browser = known
    statuses = {}
    for what, probe in PROBES.items():
        one, other = (probe(ward, client, name, browser) for name in ("kim", STRANGER))
        statuses[what] = one.status_code
        assert one.status_code == other.status_code, what
        if one.status_code != 200:
            assert one.content == other.content, what
        assert one.json().keys() == other.json().keys(), what
        # Passkeys' ids are as long as their authenticators make them, but for these all is equal.
        if what != "sign-in/begin":
            assert dict(one.headers) == dict(other.headers), what
            assert len(one.content) == len(other.content), what
    refused = {"bundle of unknown factors": 400, "full-bundle": 403, "groups": 403}
    refused |= {"login": 401, "scram/final": 401, "sign-in/finish": 401}
    assert {k: v for k, v in statuses.items() if v != 200} == refused


def test_a_stranger_gets_the_same_answer_each_time(ward: Ward, known: tuple[Any, Any]) -> None:
    """R-HTTP-19: what changes for strangers alone would tell them."""
    client, browser = known
    for what in ("offer", "bundle", "sign-in/begin"):
        one, other = (PROBES[what](ward, client, STRANGER, browser).json() for _ in range(2))
        for said in (one, other):
            said.pop("session", None)
            said.pop("nonce", None)
        assert one == other, what
    salts = [scram_first(client, STRANGER)[1].json()["message"].split(",")[1:] for _ in range(2)]
    assert salts[0] == salts[1]


def test_strangers_passwords_are_evaluated_with_a_real_key(ward: Ward) -> None:
    """R-HTTP-19, R-HARD-8."""
    service = service_of(client_of(ward.application()), STRANGER)
    with pytest.raises(DataError) as caught:
        Arrival.begin(
            service.bundle(["password"]),
            [ward.password(service)],
            deployment=ward.card,
            clock=ward.world.clock,
        )
    assert caught.value.code == "factor.wrong"


# --- limits ---------------------------------------------------------------------------------------

LIMITED = {
    "bundle": lambda ward, client, name: asked(
        client, "bundle", {"name": name, "kinds": ["device-key"]}
    ),
    "login": lambda ward, client, name: asked(
        client, "login", {"name": name, "secret": b64(bytes(32))}
    ),
    "scram/first": lambda ward, client, name: scram_first(client, name)[1],
    "sign-in/begin": lambda ward, client, name: asked(client, "sign-in/begin", {"name": name}),
}


@pytest.mark.parametrize("what", LIMITED)
@pytest.mark.parametrize("name", ["kim", STRANGER])
def test_tries_are_counted_for_the_account_before_anything_is_done(
    ward: Ward, what: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-HTTP-18: known or not, and all ways together."""
    client, _ = with_passkeys(ward)
    limited(ward, account_per_hour=2)
    for other in ("login", "bundle"):
        assert LIMITED[other](ward, client, name).status_code in (200, 401)
    monkeypatch.delattr(MemberStore, "member")
    refused = LIMITED[what](ward, client, name)
    assert code(refused) == (429, "sign-in.limit")
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    monkeypatch.undo()
    assert LIMITED[what](ward, client, "weber").status_code in (200, 401)
    ward.world.clock.forward(int(refused.headers["retry-after"]))
    assert LIMITED[what](ward, client, name).status_code in (200, 401)


def test_tries_are_counted_for_the_source_too(ward: Ward) -> None:
    """R-HTTP-18: as the application names it; changes and nameless passkeys as well."""
    client = with_passkeys(ward, source=lambda connection: connection.headers["from"])[0]
    limited(ward, source_per_hour=2)
    login = {"name": "kim", "secret": b64(bytes(32))}
    assert refusal(client, "change", {"change": "AA"}, **{"from": "a"})[0] == 403
    assert asked(client, "sign-in/begin", {"name": None}, **{"from": "a"}).status_code == 200
    for route, body in (
        ("login", login),
        ("change", {"change": "AA"}),
        ("sign-in/begin", {}),
    ):
        assert refusal(client, route, body, **{"from": "a"}) == (429, "sign-in.limit")
    assert refusal(client, "login", login, **{"from": "b"}) == (401, "login.refused")


def test_evaluations_are_counted_by_the_vault(ward: Ward) -> None:
    """R-HTTP-18, R-HARD-7: with the account and the source that the route was given."""
    seen: list[Any] = []
    app = ward.application(source=lambda connection: "the ward")
    vault = ward.world.vault
    honest = vault.hardening.evaluate

    def noting(*given: Any, **named: Any) -> Any:
        seen.append(named)
        return honest(*given, **named)

    vault.hardening.evaluate = noting  # type: ignore[method-assign]
    service = service_of(client_of(app))
    enrolled(ward, service)
    assert seen == [{"account": b"kim", "source": "the ward"}]
    bad = {"account": "kim", "kid": b64(service.offer().kid)}
    points = {"first": b64(b"\x04" + bytes(64)), "second": b64(b"\x04" + bytes(64))}
    assert refusal(service.client, "evaluate", {**bad, **points}) == (
        400,
        "hardening.point-invalid",
    )
    unknown = {**bad, **points, "kid": b64(bytes(16))}
    assert refusal(service.client, "evaluate", unknown) == (400, "hardening.key-unknown")
