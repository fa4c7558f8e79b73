"""The clinic's pages: who gets in, what a foreign site can do, what the audit page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.clinic.guard import content_security_policy
from examples.clinic.passwords import check_password, hash_password
from tests.clinic.ward import AGENT, HOST, PASSWORDS, ClinicUnderTest

PAGES = ("/patients", "/audit", "/login", "/static/clinic.css", "/api/patients", "/nowhere")


@pytest.mark.parametrize("path", ["/patients", "/patients/LH-2001", "/audit"])
def test_pages_lead_to_the_form_until_somebody_signed_in(
    clinic: ClinicUnderTest, path: str
) -> None:
    answer = clinic.browser().get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("path", ["/api/patients", "/api/patients/LH-2001"])
def test_data_is_refused_until_somebody_signed_in(clinic: ClinicUnderTest, path: str) -> None:
    answer = clinic.browser().get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "clinic.refused")


@pytest.mark.parametrize(
    ("username", "password"), [("weber", "wrong"), ("nobody", PASSWORDS["weber"]), ("", "")]
)
def test_a_wrong_name_or_password_signs_nobody_in(
    clinic: ClinicUnderTest, username: str, password: str
) -> None:
    client = clinic.browser()
    answer = client.post("/login", data={"username": username, "password": password})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_for_this_site_alone_and_ends_with_the_login(clinic: ClinicUnderTest) -> None:
    client = clinic.browser()
    form = {"username": "weber", "password": PASSWORDS["weber"]}
    cookie = client.post("/login", data=form).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    stolen = dict(client.cookies)
    client.post("/logout")
    client.cookies.update(stolen)
    assert client.get("/patients").status_code == 303


def test_a_copied_table_of_logins_signs_nobody_in(clinic: ClinicUnderTest) -> None:
    client = clinic.browser("weber")
    [row] = clinic.sql("SELECT token_hash FROM clinic_session")
    assert client.cookies["clinic_session"].encode() not in row["token_hash"]


def test_what_is_sealed_is_on_no_page_before_it_is_released(clinic: ClinicUnderTest) -> None:
    client = clinic.browser("weber")
    case = clinic.cases("cardiology")[0]
    listed, detail = client.get("/patients").text, client.get(f"/patients/{case}").text
    entered = clinic.entered(case)
    assert entered.name in listed
    assert entered.name in detail
    assert entered.diagnosis not in listed + detail
    assert entered.note not in listed + detail


def test_the_list_filters_by_ward_and_sorts_by_name(clinic: ClinicUnderTest) -> None:
    client = clinic.browser("kim")
    for path, wards in (("/patients", ["surgery"]), ("/patients?ward=cardiology", ["cardiology"])):
        page = client.get(path).text
        places = [page.index(case) for ward in wards for case in clinic.cases(ward)]
        assert places == sorted(places)
    assert all(c in client.get("/patients?ward=").text for c in clinic.cases("cardiology"))


def test_a_name_with_markup_in_it_is_text(clinic: ClinicUnderTest) -> None:
    case = clinic.cases("cardiology")[0]
    name = "<script>alert(1)</script>"
    clinic.sql('UPDATE clinic_patient SET name = :name WHERE "case" = :case', name=name, case=case)
    page = clinic.browser("weber").get(f"/patients/{case}").text
    assert name not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_strict_policy(clinic: ClinicUnderTest, path: str) -> None:
    headers = clinic.browser("weber").get(path).headers
    assert headers["content-security-policy"] == content_security_policy(AGENT)
    assert headers["x-content-type-options"] == "nosniff"
    if not path.startswith("/static/"):
        assert "no-store" in headers["cache-control"]


def test_the_policy_allows_own_scripts_only_and_the_agent_alone_as_a_frame() -> None:
    policy = content_security_policy(AGENT).split("; ")
    assert {"default-src 'none'", "script-src 'self'", f"frame-src {AGENT}"} <= set(policy)
    assert [part for part in policy if "unsafe" in part] == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", AGENT, "null", "https://clinic.localhost"]
)
def test_an_unsafe_request_from_another_origin_is_refused(
    clinic: ClinicUnderTest, origin: str
) -> None:
    client = clinic.browser("weber")
    assert client.post("/logout", headers={"Origin": origin}).status_code == 403
    assert client.get("/patients").status_code == 200
    assert client.post("/logout", headers={"Origin": HOST}).status_code == 303


def test_other_host_names_are_refused(clinic: ClinicUnderTest) -> None:
    assert clinic.browser().get("/login", headers={"Host": "evil.example"}).status_code == 400


def test_a_patient_that_there_is_none_of_is_not_found(clinic: ClinicUnderTest) -> None:
    client = clinic.browser("weber")
    assert client.get("/patients/LH-1").status_code == 404
    assert client.get("/api/patients/LH-1").json()["detail"] == "There is no such patient."


def test_the_audit_page_shows_an_admin_all_releases_and_others_their_own(
    clinic: ClinicUnderTest,
) -> None:
    for name, path in (("weber", "/api/patients/{}"), ("kim", "/api/patients?ward=surgery")):
        client = clinic.browser(name)
        with clinic.member(name).releasing(client):
            client.get(path.format(clinic.cases("cardiology")[0]))
    seen = clinic.entered(clinic.cases("cardiology")[0]).name
    all_lines, own = (clinic.browser(name).get("/audit").text for name in ("weber", "kim"))
    assert f"<td>weber</td><td>1 DEK: {seen}</td>" in all_lines
    assert "<td>kim</td><td>6 DEKs: " in all_lines
    assert "<td>kim</td><td>6 DEKs: " in own
    assert "<td>weber</td>" not in own


def test_what_was_sealed_anew_since_is_named_no_more_on_the_audit_page(
    clinic: ClinicUnderTest,
) -> None:
    client, case = clinic.browser("weber"), clinic.cases("cardiology")[0]
    with clinic.member("weber").releasing(client):
        client.get(f"/api/patients/{case}")
    clinic.sql("UPDATE clinic_patient SET twinlock_dek = NULL")
    assert "1 DEK: since rewritten" in client.get("/audit").text


def test_passwords_are_checked_against_their_own_hash_only() -> None:
    stored = hash_password("a password")
    assert check_password("a password", stored)
    assert not check_password("another", stored)
    assert not check_password("a password", hash_password("a password")[:47] + b"?")
    assert not check_password("", None)


def test_no_template_has_a_script_or_style_inside() -> None:
    folder = Path(__file__).parents[2] / "examples" / "clinic" / "templates"
    pages = [path.read_text(encoding="utf-8") for path in folder.glob("*.html")]
    inline = re.compile(r"<script>|<style|\sstyle=|\son[a-z]+=")
    assert pages
    assert [found for page in pages if (found := inline.search(page))] == []
