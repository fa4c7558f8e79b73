"""Doctor tells the truth about tokens that differ, and leaves nothing behind."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.token.rigs import PIN, PKCS11, Rig, init_softhsm
from twinlock.core.primitives import aes_key_unwrap
from twinlock.token import levels
from twinlock.token.ck import Cka, Ckr
from twinlock.token.doctor import examine
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.probes import RFC3394_KEK, RFC3394_KEY, RFC3394_WRAPPED
from twinlock.token.profiles import PROFILES, TokenProfile
from twinlock.token.report import DoctorReport
from twinlock.token.structures import CkAttribute

NAMESPACES = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
OPENCRYPTOKI = "/usr/lib/x86_64-linux-gnu/pkcs11/PKCS11_API.so"

CARRIED = {
    "softhsm": {"rsa-oaep-sha1", "token-aes"},
    "nss": {"rsa-oaep-sha1", "rsa-oaep-sha256", "token-aes"},
}
FALLING = {
    "softhsm": {
        "RSA-OAEP decryption with SHA-256",
        "a release key cannot be read",
        "a DEK cannot be read",
        "a release key has one usage",
        "a DEK has one usage",
    },
    "nss": {
        "the release's AES key cannot be read",
        "a release key cannot be read",
        "a DEK cannot be read",
        "the release's AES key has one usage",
        "a release key has one usage",
        "a DEK has one usage",
        "a copy cannot have other attributes",
        "no raw RSA on the wrapping key",
        "no PKCS#1 v1.5 on the wrapping key",
        "no ECB on the AES wrapping key",
    },
}


on_pkcs11 = pytest.mark.parametrize("rig", sorted(PKCS11), indirect=True)


def falling(report: DoctorReport) -> set[str]:
    return {probe.name for probe in report.probes if probe.held is not True}


@on_pkcs11
def test_each_token_gets_its_own_true_answer(rig: Rig) -> None:
    """R-TOKEN-6."""
    report = examine(rig.token)
    name = rig.token.name
    assert (report.usable, report.grade) == (True, "B")
    assert {verdict.suite for verdict in report.suites if verdict.carried} == CARRIED[name]
    assert falling(report) == FALLING[name]


@on_pkcs11
def test_a_guarantee_falls_with_the_probe_under_it(rig: Rig) -> None:
    report = examine(rig.token)
    held = {guarantee.text: guarantee.held for guarantee in report.guarantees}
    assert held["a live takeover does not read a DEK"] is False
    assert held["what a request unwraps is gone after it"] is True
    softhsm = rig.token.name == "softhsm"
    assert held["a live takeover does not read the release's AES key"] is softhsm
    assert held["wrapping keys answer one mechanism only"] is softhsm


@pytest.mark.parametrize("deep", [False, True])
@on_pkcs11
def test_doctor_leaves_nothing_behind(rig: Rig, deep: bool) -> None:
    before = rig.count_objects()
    report = examine(rig.token, deep=deep)
    assert rig.count_objects() == before
    persistent = [probe for probe in report.probes if "persistent" in probe.name]
    assert len(persistent) == (5 if deep else 0)
    assert all(probe.held for probe in persistent)


@on_pkcs11
def test_the_report_is_for_people_and_for_programs(rig: Rig) -> None:
    report = examine(rig.token)
    again = json.loads(json.dumps(report.to_dict()))
    assert again["grade"] == report.grade
    assert [probe["name"] for probe in again["probes"]] == [p.name for p in report.probes]
    text = "\n".join(report.lines())
    assert all(name in text for name in falling(report))
    assert "Grade B" in text


@contextmanager
def enforcing_templates(token: Pkcs11Token) -> Iterator[None]:
    """The token as it should be: no unwrap at any level into more than one usage, or readable."""
    functions = token.module.functions
    real = functions["UnwrapKey"]
    usages = {Cka.ENCRYPT, Cka.DECRYPT, Cka.WRAP, Cka.UNWRAP, Cka.SIGN, Cka.VERIFY, Cka.DERIVE}

    def strict(*arguments: int) -> int:
        address, count = arguments[5], arguments[6]
        template = {
            attribute.type: ctypes.string_at(attribute.value, attribute.length) == b"\x01"
            for attribute in (CkAttribute * count).from_address(address)
        }
        used = [kind for kind in usages if template.get(kind)]
        if template[Cka.EXTRACTABLE] or not template[Cka.SENSITIVE] or len(used) != 1:
            return Ckr.TEMPLATE_INCONSISTENT
        return real(*arguments)

    functions._call["UnwrapKey"] = strict
    try:
        yield
    finally:
        functions._call["UnwrapKey"] = real


@contextmanager
def softhsm_as(label: str, profile: TokenProfile | None = None) -> Iterator[Pkcs11Token]:
    token = Pkcs11Token.connect(init_softhsm(label), PIN, profile=profile)
    try:
        yield token
    finally:
        token.close()


@pytest.mark.usefixtures("softhsm_folder")
def test_a_token_that_enforces_templates_at_every_level_gets_grade_a() -> None:
    with softhsm_as("strict") as token:
        with enforcing_templates(token):
            report = examine(token)
        assert report.grade == "A"
        assert "Grade A" in report.lines()[-1]
        assert examine(token).grade == "B"


@pytest.mark.usefixtures("softhsm_folder")
@pytest.mark.parametrize(
    ("change", "missing"),
    [
        pytest.param({"refusals": frozenset()}, "damaged GCM data are refused", id="refusals"),
        pytest.param({"oaep_hash": "sha256"}, "RSA-OAEP unwrap of an AES key", id="oaep"),
    ],
)
def test_a_profile_that_does_not_fit_the_token_is_found_out(change: dict, missing: str) -> None:
    profile = dataclasses.replace(PROFILES["softhsm"], **change)
    with softhsm_as(f"misfit {next(iter(change))}", profile) as token:
        report = examine(token)
    assert (report.usable, report.grade) == (False, None)
    assert any(text.startswith(missing) for text in report.missing)
    assert "Not usable" in report.lines()[-1]


@pytest.mark.usefixtures("softhsm_folder")
def test_a_token_that_makes_its_own_nonces_does_not_carry_token_aes() -> None:
    profile = dataclasses.replace(PROFILES["softhsm"], gcm_iv_by_token=True)
    with softhsm_as("own nonces", profile) as token:
        report = examine(token)
    assert report.usable
    assert {v.suite: v.carried for v in report.suites}["token-aes"] is False


def test_the_key_wrap_vector_is_the_rfcs() -> None:
    assert aes_key_unwrap(RFC3394_KEK, RFC3394_WRAPPED) == RFC3394_KEY


def may_have_namespaces() -> bool:
    if shutil.which("unshare") is None or shutil.which("pkcsslotd") is None:
        return False
    tried = subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True)
    return tried.returncode == 0 and os.geteuid() == 0


def test_opencryptoki_is_refused_by_naming_what_it_lacks() -> None:
    """R-TOKEN-6."""
    if not Path(OPENCRYPTOKI).exists() or not may_have_namespaces():
        pytest.skip("openCryptoki is not installed, or namespaces need root")
    done = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.token.in_opencryptoki", OPENCRYPTOKI],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    report = found["report"]
    assert (report["usable"], report["grade"]) == (False, None)
    assert not any(verdict["carried"] for verdict in report["suites"])
    missing = " ".join(report["missing"])
    for name in ("AES key wrap", "AES-GCM decryption", "ECDSA P-256 signatures"):
        assert name in missing
    untried = {probe["name"] for probe in report["probes"] if probe["held"] is None}
    assert {f"{levels.NAMES[level]} cannot be read" for level in levels.LEVELS} <= untried
    assert {f"{levels.NAMES[level]} has one usage" for level in levels.LEVELS} <= untried
    assert found["refusals"] == {"transport": "token.unsupported"}
