"""What opens for whom on the clinic's pages, and what an edit and a discharge do."""

from __future__ import annotations

import base64
import os
from collections import Counter
from typing import Any

import pytest

from tests.clinic.ward import ClinicUnderTest
from twinlock.core.context import Context
from twinlock.core.envelope import Layout, encode_value
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import signing_key_from_seed
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

LIST = "/api/patients?ward="
CELLS = ("twinlock_dek", "diagnosis", "allergies", "note")


def _list(clinic: ClinicUnderTest, name: str, ward: str) -> dict[str, Any]:
    client = clinic.browser(name)
    with clinic.member(name).releasing(client):
        answer = client.get(LIST + ward)
    assert answer.status_code == 200
    return {patient["case"]: patient["fields"] for patient in answer.json()["patients"]}


def _states(shown: dict[str, Any]) -> Counter[str]:
    return Counter(fields["diagnosis"]["state"] for fields in shown.values())


def _read(clinic: ClinicUnderTest, name: str, case: str) -> dict[str, Any]:
    client = clinic.browser(name)
    with clinic.member(name).releasing(client):
        return client.get(f"/api/patients/{case}").json()  # type: ignore[no-any-return]


def _planted(clinic: ClinicUnderTest, case: str, text: str) -> bytes:
    """What a thief seals with public keys alone, in the right place and for the right groups."""
    vault = clinic.deployment.vault
    writer = signing_key_from_seed(Secret(b"a writer that nobody named......"))
    keys = [e.key for e in vault.directory.entries if e.key.role is KeyRole.WRAPPING]
    wrapping = next(key for key in keys if key.suite is not OuterSuite.TOKEN_AES)
    state = vault.group_state(clinic.deployment.groups["cardiology"])
    epoch = state.current_epoch
    target = GroupTarget(state.group_id, epoch.number, epoch.kem, epoch.public)
    context = Context(table="patient", record=case, column="allergies")
    raw = context.encode(clinic.deployment.config.deployment_id)
    sealer = Sealer(writer, wrapping, os.urandom)
    head, fields = sealer.seal_fields(raw, Layout.VALUE, {"allergies": text.encode()}, [target])
    return encode_value(head, fields["allergies"])


def test_a_ward_s_member_reads_the_ward_as_it_was_entered(clinic: ClinicUnderTest) -> None:
    shown = _list(clinic, "weber", "cardiology")
    assert list(shown) == clinic.cases("cardiology")
    for case, fields in shown.items():
        entered = clinic.entered(case)
        assert fields["diagnosis"] == {"state": "open", "text": entered.diagnosis}
        assert fields["allergies"] == {"state": "open", "text": entered.allergies}
        assert "note" not in fields


def test_a_list_costs_the_member_one_release(clinic: ClinicUnderTest) -> None:
    client = clinic.browser("weber")
    with clinic.member("weber").releasing(client) as made:
        client.get(LIST + "cardiology")
    assert len(made) == 1


@pytest.mark.parametrize(
    ("name", "open_", "no_lock"), [("weber", 6, 6), ("kim", 6, 6), ("adler", 12, 0)]
)
def test_of_all_wards_each_opens_what_is_sealed_for_its_group(
    clinic: ClinicUnderTest, name: str, open_: int, no_lock: int
) -> None:
    states = _states(_list(clinic, name, ""))
    assert (states["open"], states["no-lock"]) == (open_, no_lock)


def test_a_ward_that_is_sealed_for_others_is_refused_by_name(clinic: ClinicUnderTest) -> None:
    client = clinic.browser("kim")
    with clinic.member("kim").releasing(client) as made:
        answer = client.get(LIST + "cardiology")
    assert (answer.status_code, answer.json()["code"]) == (403, "record.no-lock")
    assert made == []


def test_the_emergency_physician_s_agent_releases_nothing_without_a_click(
    clinic: ClinicUnderTest,
) -> None:
    client, agent = clinic.browser("adler"), clinic.member("adler").agent
    path = f"/api/patients/{clinic.cases('surgery')[0]}"
    first = client.get(path)
    session = base64.urlsafe_b64decode(first.headers["Twinlock-Session"] + "=")
    named = {
        "Twinlock-Request": first.headers["Twinlock-Request"],
        "Content-Type": "application/twinlock-hello",
    }
    bundle = client.post(path, content=agent.hello(session=session), headers=named).content
    with pytest.raises(CallerError) as caught:
        agent.release(bundle)
    assert caught.value.code == "release.needs-approval"


@pytest.mark.parametrize(
    ("change", "columns"),
    [
        ("swapped with another patient's row", CELLS),
        ("one cell of another patient's", ("allergies",)),
        ("its wrapped DEK another patient's", ("twinlock_dek",)),
    ],
)
def test_what_somebody_moved_in_the_database_is_not_authentic_and_the_rest_opens(
    clinic: ClinicUnderTest, change: str, columns: tuple[str, ...]
) -> None:
    victim, other = clinic.cases("cardiology")[:2]
    for column in columns:
        clinic.sql(
            f'UPDATE clinic_patient SET {column} = :value WHERE "case" = :victim',
            value=clinic.stored(other)[column],
            victim=victim,
        )
    shown = _list(clinic, "weber", "cardiology")
    assert shown[victim]["diagnosis"]["state"] == "not-authentic", change
    assert "text" not in shown[victim]["diagnosis"]
    assert _states(shown) == {"open": 5, "not-authentic": 1}


def test_a_value_that_no_writer_of_the_clinic_sealed_is_not_authentic(
    clinic: ClinicUnderTest,
) -> None:
    case = clinic.cases("cardiology")[0]
    clinic.sql(
        'UPDATE clinic_patient SET allergies = :planted WHERE "case" = :case',
        planted=_planted(clinic, case, "none known"),
        case=case,
    )
    shown = _list(clinic, "weber", "cardiology")
    assert shown[case]["allergies"]["code"] == "data.not-authentic"
    assert shown[case]["diagnosis"]["state"] == "open"


# --- changing ------------------------------------------------------------------------------------


def _edit(clinic: ClinicUnderTest, name: str, case: str, **changed: Any) -> Any:
    edit = {"field": "note", "text": "Slept well.", "revision": 1, **changed}
    return clinic.browser(name).patch(f"/api/patients/{case}", json=edit)


@pytest.mark.parametrize("field", ["note", "allergies"])
def test_an_edit_seals_one_field_and_leaves_the_stored_bytes_of_the_others(
    clinic: ClinicUnderTest, field: str
) -> None:
    case = clinic.cases("cardiology")[0]
    before = clinic.stored(case)
    answer = _edit(clinic, "weber", case, field=field, text="Nothing new.")
    assert answer.json() == {"rewritten": [field], "revision": 2}
    after = clinic.stored(case)
    assert [cell for cell in CELLS if after[cell] != before[cell]] == [field]
    read = _read(clinic, "weber", case)["fields"]
    assert read[field] == {"state": "open", "text": "Nothing new."}
    assert _read(clinic, "adler", case)["fields"][field]["state"] == "open"
    assert read["diagnosis"]["state"] == "open"


@pytest.mark.parametrize(
    ("name", "changed", "status"),
    [
        ("kim", {}, 403),
        ("weber", {"revision": 7}, 409),
        ("weber", {"field": "diagnosis"}, 422),
        ("weber", {"text": ""}, 422),
        ("weber", {"text": "x" * 2001}, 422),
    ],
)
def test_an_edit_that_is_not_allowed_changes_nothing(
    clinic: ClinicUnderTest, name: str, changed: dict[str, Any], status: int
) -> None:
    case = clinic.cases("cardiology")[0]
    before = clinic.stored(case)
    assert _edit(clinic, name, case, **changed).status_code == status
    assert clinic.stored(case) == before


def test_a_discharge_without_a_release_changes_nothing(clinic: ClinicUnderTest) -> None:
    case = clinic.cases("cardiology")[0]
    before = clinic.stored(case)
    client = clinic.browser("weber")
    with clinic.member("weber").releasing(client) as made:
        answer = client.post(f"/api/patients/{case}/discharge")
    assert (answer.status_code, made) == (428, [])
    assert clinic.stored(case) == before


def test_a_discharge_that_the_member_asked_for_seals_its_letter(clinic: ClinicUnderTest) -> None:
    case = clinic.cases("cardiology")[0]
    client = clinic.browser("weber")
    with clinic.member("weber").releasing(client, explicit=True) as made:
        assert client.post(f"/api/patients/{case}/discharge").status_code == 200
        assert client.post(f"/api/patients/{case}/discharge").status_code == 409
    assert len(made) == 1
    letter = _read(clinic, "weber", case)["fields"]["letter"]["text"]
    assert clinic.entered(case).diagnosis in letter
    assert clinic.entered(case).allergies in letter
    assert _edit(clinic, "weber", case, revision=2).status_code == 409


def test_a_record_that_is_not_authentic_discharges_nobody(clinic: ClinicUnderTest) -> None:
    victim, other = clinic.cases("cardiology")[:2]
    clinic.sql(
        'UPDATE clinic_patient SET diagnosis = :value WHERE "case" = :victim',
        value=clinic.stored(other)["diagnosis"],
        victim=victim,
    )
    client = clinic.browser("weber")
    with clinic.member("weber").releasing(client, explicit=True):
        answer = client.post(f"/api/patients/{victim}/discharge")
    assert answer.status_code == 500
    assert clinic.stored(victim)["discharged"] is None


def test_no_plaintext_lies_in_the_database_file(clinic: ClinicUnderTest) -> None:
    case = clinic.cases("cardiology")[0]
    _edit(clinic, "weber", case, text="The family does not know yet.")
    client = clinic.browser("weber")
    with clinic.member("weber").releasing(client, explicit=True):
        client.post(f"/api/patients/{case}/discharge")
    raw = (clinic.folder / "clinic.db").read_bytes()
    entered = [clinic.entered(c) for ward in ("cardiology", "surgery") for c in clinic.cases(ward)]
    texts = [text for one in entered for text in (one.diagnosis, one.note)]
    assert [text for text in [*texts, "The family does not"] if text.encode() in raw] == []
    assert entered[0].name.encode() in raw
