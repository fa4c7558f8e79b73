"""``with weber.releasing(client)``: a test's client gets its releases from a member."""

from __future__ import annotations

import httpx
import pytest

from tests.http.clinic import Clinic, client_for
from twinlock import CallerError
from twinlock.core.membership import Policy
from twinlock.core.ports import OuterSuite


def test_pages_open_inside_of_the_block_only(clinic: Clinic) -> None:
    client = client_for(clinic.list_application())
    with clinic.weber.releasing(client) as made:
        assert client.get("/patients").json()[0]["diagnosis"] == "I48.0"
        assert client.get("/patients").status_code == 200
    assert len(made) == 2
    assert client.get("/patients").status_code == 428


def test_the_innermost_member_answers(clinic: Clinic) -> None:
    clinic.admit("Eve", "R07", "emergency")
    client = client_for(clinic.list_application(member=None))
    with clinic.weber.releasing(client) as by_weber:
        with clinic.kim.releasing(client) as by_kim:
            last = client.get("/patients").json()[-1]
            assert last == {"name": "Eve", "error": "record.no-lock"}
        assert client.get("/patients").json()[-1]["diagnosis"] == "R07"
    assert (len(by_weber), len(by_kim)) == (1, 1)


def test_the_member_clicks_where_a_policy_wants_it() -> None:
    from tests.http.clinic import clinic_in_memory

    policy = Policy(
        outer_suites=frozenset({OuterSuite.RSA_OAEP_SHA256, OuterSuite.RSA_OAEP_SHA1}),
        click_each=True,
    )
    with clinic_in_memory(policy=policy) as clinic:
        clinic.admit("Ada", "I48.0")
        client = client_for(clinic.list_application())
        with clinic.weber.releasing(client):
            assert client.get("/patients").status_code == 200


@pytest.mark.parametrize("client", [object(), httpx.Client(auth=("user", "word"))])
def test_a_client_that_cannot_be_answered_for_is_refused(clinic: Clinic, client: object) -> None:
    with pytest.raises(CallerError) as refused, clinic.weber.releasing(client):
        pass
    assert refused.value.code == "testing.client"
