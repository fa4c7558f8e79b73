"""The program that an adopter writes first, exactly as it is written."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

import twinlock as tl
from tests.server.world import found_on_softhsm
from twinlock.agent.member import create_member
from twinlock.core.membership import Policy
from twinlock.server.setup import deployment_card, writer_of

PROGRAM = """
import twinlock as tl

vault = tl.Vault.connect("twinlock.toml")            # token, store, accepted suites; PIN from file or env
ward, er = vault.group("cardiology"), vault.group("emergency")
ctx = tl.Context(table="patient", column="diagnosis", record="4711", version=3)
sealed = vault.seal("I48.0 atrial fibrillation", to=[ward, er], context=ctx)
stored: bytes = sealed.to_bytes()

request = vault.request([(ctx, stored)], purpose="ward round")          # server side
with tl.Agent.unlock("weber", tl.DeviceKey("weber.key"), tl.Passphrase.prompt()) as agent:
    print(agent.describe(request))                   # what is asked, by whom, verified
    release = agent.release(request)                 # member side
for item in vault.open(request, release):            # inside the token
    print(item.context.record, item.text().reveal())
"""  # noqa: E501

SAYS = """Purpose: ward round
Records: 1
  1 through group cardiology
  patient 4711, diagnosis, version 3
4711 I48.0 atrial fibrillation
"""


@pytest.fixture
def hospital(tmp_path: Path, softhsm_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``twinlock.toml``, and the member weber with a device key and a passphrase."""
    config, _ = found_on_softhsm(tmp_path, softhsm_uri)
    monkeypatch.chdir(tmp_path)
    factors = [tl.DeviceKey.create("weber.key"), tl.Passphrase("correct horse")]
    create_member("weber", factors, deployment=deployment_card(config))
    with (
        tl.Vault.connect("twinlock.toml") as vault,
        tl.Agent.unlock("weber", *factors) as weber,
    ):
        for name in ("cardiology", "emergency"):
            policy = Policy(outer_suites=config.accept)
            for proposal in weber.admin.found(name, policy, writers=[writer_of(config)]):
                vault.append(proposal.encode())
        weber.follow(vault.group_bundle(weber.hello()))
    return tmp_path


@pytest.mark.usefixtures("hospital")
def test_the_first_program_runs_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "correct horse")
    namespace: dict[str, object] = {}
    exec(compile(PROGRAM, "program.py", "exec"), namespace)
    namespace["vault"].close()
    assert capsys.readouterr().out == SAYS


@pytest.mark.usefixtures("hospital")
def test_the_first_program_with_a_wrong_passphrase_releases_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "incorrect horse")
    namespace: dict[str, object] = {}
    with pytest.raises(tl.DataError) as caught:
        exec(compile(PROGRAM, "program.py", "exec"), namespace)
    namespace["vault"].close()
    assert caught.value.code == "factor.wrong"
    assert "release" not in namespace
