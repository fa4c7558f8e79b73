"""Several runs of one member's agent, its file, and its ways in."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agent.enrolling import add_enrolment
from tests.agent.lying import unlocked
from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock import Agent, CallerError, DataError, DeviceKey, Passphrase, TwinlockError
from twinlock.agent.member import create_member
from twinlock.agent.state import load_state
from twinlock.core import cbor
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.membership import Policy
from twinlock.core.ports import OuterSuite
from twinlock.server.setup import deployment_card


def release_with(world: World, agent: Agent) -> str:
    sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
    request = world.asked((DIAGNOSIS, sealed))
    try:
        [opened] = world.vault.open(request, agent.release(request))
    except TwinlockError as error:
        return error.code
    return str(opened.text().reveal())


# --- two runs of one agent -----------------------------------------------------------------------


def test_two_runs_count_in_one_chain(world: World) -> None:
    one, other = unlocked(world, "kim"), unlocked(world, "kim")
    assert [release_with(world, a) for a in (one, other, one, one, other)] == ["x"] * 5
    assert one.status().releases == 4
    assert unlocked(world, "kim").status().releases == 5
    report = world.vault.verify_audit()
    assert (report.releases, report.gaps, report.problems) == (5, [], [])


def test_many_runs_at_once_count_in_one_chain(world: World) -> None:
    agents = [unlocked(world, "kim") for _ in range(4)]
    results: list[str] = []

    def work(agent: Agent) -> None:
        results.extend(release_with(world, agent) for _ in range(5))

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["x"] * 20
    assert unlocked(world, "kim").status().releases == 20
    # Two runs may open in another order than they signed in; no release is missing then.
    assert world.vault.verify_audit().releases == 20


def test_two_runs_spend_one_budget() -> None:
    policy = Policy(outer_suites=frozenset(OuterSuite), budget_per_hour=3)
    with world_in_memory(policy=policy) as world:
        one, other = unlocked(world, "kim"), unlocked(world, "kim")
        results = [release_with(world, agent) for agent in (one, other, one, other, one)]
    assert results == ["x", "x", "x", "release.needs-approval", "release.needs-approval"]


def test_what_one_run_followed_another_does_not_forget(world: World) -> None:
    """R-AGENT-2."""
    one, other = unlocked(world, "weber"), unlocked(world, "weber")
    world.vault.append(one.admin.set_writers(world.ward.group_id, []))
    world.founding.follow(one)
    other.hello(keep=True)
    seqs = {g.state.group_id: g.state.seq for g in unlocked(world, "weber").groups}
    assert seqs[world.ward.group_id] == world.vault.group_state(world.ward).seq


def test_an_invitation_that_one_run_issued_another_can_use(world: World) -> None:
    one, other = unlocked(world, "weber"), unlocked(world, "weber")
    tom = world.founding.member("tom")
    invitation = one.admin.invite(world.ward.group_id)
    world.founding.follow(other)
    world.vault.append(other.admin.add(world.ward.group_id, tom.card(invitation)))
    world.founding.follow(tom)
    assert release_with(world, tom) == "x"


@pytest.mark.parametrize("user", ["the same run", "another run"])
def test_an_invitation_is_used_once(world: World, user: str) -> None:
    one = unlocked(world, "weber")
    world.founding.follow(one)
    invitation = one.admin.invite(world.ward.group_id)
    other = one if user == "the same run" else unlocked(world, "weber")
    world.founding.follow(other)
    tom, tim = (world.founding.member(name).card(invitation) for name in ("tom", "tim"))
    world.vault.append(other.admin.add(world.ward.group_id, tom))
    for agent in (other, one, unlocked(world, "weber")):
        world.founding.follow(agent)
        with pytest.raises(CallerError) as caught:
            agent.admin.add(world.ward.group_id, tim)
        assert caught.value.code == "member.not-invited"


def test_an_enrolment_that_one_run_added_another_keeps(world: World) -> None:
    running = unlocked(world, "kim")
    second = DeviceKey.create(world.founding.folder / "second.key")
    add_enrolment("kim", [DeviceKey(world.founding.folder / "kim.key")], [second])
    assert release_with(world, running) == "x"
    assert Agent.unlock("kim", second).name == "kim"


def test_another_run_answers_with_a_session_that_was_kept(world: World) -> None:
    one = unlocked(world, "kim")
    sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
    request = world.asked((DIAGNOSIS, sealed))
    kept = request.bind(one.hello(keep=True))
    assert world.vault.open(request, unlocked(world, "kim").release(kept))[0].ok


def test_a_session_that_was_not_kept_ends_with_its_run(world: World) -> None:
    world.clock.forward(3601)  # the session of the deployment's founding is not continued
    sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
    bundle = world.asked((DIAGNOSIS, sealed)).bind(unlocked(world, "kim").hello())
    with pytest.raises(DataError) as caught:
        unlocked(world, "kim").release(bundle)
    assert caught.value.code == "request.session"


def test_sessions_do_not_pile_up(world: World) -> None:
    agent = unlocked(world, "kim")
    for number in range(40):
        agent.hello(session=b"login %d" % number, keep=True)
    assert len(unlocked(world, "kim")._state.sessions) <= 8


def test_a_session_ends_after_two_hours(world: World) -> None:
    sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
    hello = world.kim.agent.hello()
    world.clock.forward(7201)
    with pytest.raises(DataError) as caught:
        world.kim.agent.release(world.asked((DIAGNOSIS, sealed)).bind(hello))
    assert caught.value.code == "request.session"


# --- the state file ------------------------------------------------------------------------------


def file_of(world: World, name: str) -> Path:
    return world.founding.folder / f"{name}.member"


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_byte_of_the_file_can_be_changed(shared: World, data: st.DataObject) -> None:
    """R-AGENT-8."""
    path = file_of(shared, "officer")
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises((DataError, CallerError)):
            unlocked(shared, "officer")
    finally:
        path.write_bytes(good)
    assert unlocked(shared, "officer").name == "officer"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda good, other: b"", "format."),
        (lambda good, other: good[:-1], "format."),
        (lambda good, other: good[:-1] + bytes([good[-1] ^ 1]), "agent.state-damaged"),
        (lambda good, other: other, "factor.wrong"),
        (lambda good, other: None, "file.missing"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(world: World, damage, code: str) -> None:
    path = file_of(world, "kim")
    changed = damage(path.read_bytes(), file_of(world, "weber").read_bytes())
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    with pytest.raises(TwinlockError) as caught:
        unlocked(world, "kim")
    assert caught.value.code.startswith(code)


def test_a_body_of_another_members_file_is_refused(world: World) -> None:
    mine, other = load_state(file_of(world, "kim")), load_state(file_of(world, "weber"))
    mixed = replace(other, enrolments=mine.enrolments)
    with pytest.raises(DataError) as caught:
        mixed.unlocked(unlocked(world, "kim")._unlocked())
    assert caught.value.code == "agent.state-damaged"


def test_a_file_that_was_set_back_shows_in_the_audit_log(world: World) -> None:
    release_with(world, unlocked(world, "kim"))
    backup = file_of(world, "kim").read_bytes()
    release_with(world, unlocked(world, "kim"))
    file_of(world, "kim").write_bytes(backup)
    assert release_with(world, unlocked(world, "kim")) == "x"
    assert len(world.vault.verify_audit().gaps) == 1


def test_a_running_agent_is_not_set_back_by_its_file(world: World) -> None:
    agent = unlocked(world, "kim")
    backup = file_of(world, "kim").read_bytes()
    release_with(world, agent)
    file_of(world, "kim").write_bytes(backup)
    assert release_with(world, agent) == "x"
    assert world.vault.verify_audit().gaps == []


def test_a_release_is_counted_before_it_is_handed_out(world: World) -> None:
    """R-AGENT-7."""
    agent = unlocked(world, "kim")
    sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
    agent.release(world.asked((DIAGNOSIS, sealed)))
    assert unlocked(world, "kim").status().releases == 1


def test_files_are_readable_by_their_owner_only(world: World) -> None:
    """R-AGENT-8."""
    for name in ("kim.member", "kim.key"):
        assert (world.founding.folder / name).stat().st_mode & 0o777 == 0o600


# --- enrolments ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ada(shared: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ada")
    factors = [DeviceKey.create(folder / "ada.key"), Passphrase("correct horse")]
    create_member("ada", factors, deployment=deployment_card(shared.config))
    return folder


@pytest.fixture
def member(ada: Path, tmp_path: Path) -> Path:
    """The member ``ada`` with a device key and a passphrase, needed together."""
    for name in ("ada.key", "ada.member"):
        shutil.copy(ada / name, tmp_path)
    return tmp_path


def test_all_factors_of_an_enrolment_are_needed(member: Path) -> None:
    key = DeviceKey(member / "ada.key")
    other = DeviceKey.create(member / "other.key")
    assert Agent.unlock("ada", Passphrase("correct horse"), key).name == "ada"
    for factors, code in (
        ([key], "factor.missing"),
        ([Passphrase("correct horse")], "factor.missing"),
        ([key, Passphrase("incorrect horse")], "factor.wrong"),
        ([other, Passphrase("correct horse")], "factor.wrong"),
    ):
        with pytest.raises(TwinlockError) as caught:
            Agent.unlock("ada", *factors, home=member)
        assert caught.value.code == code


def test_any_enrolment_opens_and_each_by_its_own_factors_alone(member: Path) -> None:
    first = [DeviceKey(member / "ada.key"), Passphrase("correct horse")]
    second, third = (DeviceKey.create(member / f"{name}.key") for name in ("second", "third"))
    add_enrolment("ada", first, [second])
    add_enrolment("ada", [second], [third])
    members = {
        Agent.unlock("ada", *factors, home=member).member_id
        for factors in (first, [second], [third])
    }
    assert len(members) == 1
    with pytest.raises(DataError) as caught:
        Agent.unlock("ada", first[0], home=member)
    assert caught.value.code == "factor.wrong"


def test_one_kind_of_factor_twice_makes_no_enrolment(shared: World, tmp_path: Path) -> None:
    keys = [DeviceKey.create(tmp_path / f"{n}.key") for n in "ab"]
    for factors in (keys, []):
        with pytest.raises(CallerError) as caught:
            create_member("bo", factors, deployment=deployment_card(shared.config), home=tmp_path)
        assert caught.value.code == "factor.set"
    assert not (tmp_path / "bo.member").exists()


def test_a_member_is_never_made_twice(shared: World, member: Path) -> None:
    before = (member / "ada.member").read_bytes()
    with pytest.raises(CallerError) as caught:
        create_member(
            "ada", [DeviceKey(member / "ada.key")], deployment=deployment_card(shared.config)
        )
    assert caught.value.code == "file.exists"
    assert (member / "ada.member").read_bytes() == before


WEAKENED = {
    "less memory": lambda p: [p[0], 8 << 10, p[2], p[3]],
    "fewer passes": lambda p: [p[0], p[1], 1, p[3]],
    "no lane": lambda p: [p[0], p[1], p[2], 0],
    "no salt": lambda p: [b"", p[1], p[2], p[3]],
    "endless memory": lambda p: [p[0], 1 << 40, p[2], p[3]],
    "endless passes": lambda p: [p[0], p[1], 1 << 30, p[3]],
}


@pytest.mark.parametrize("weakening", sorted(WEAKENED))
def test_a_passphrase_is_not_even_asked_for_under_weakened_parameters(
    member: Path, weakening: str
) -> None:
    path = member / "ada.member"
    path.write_bytes(_with_parameters(path.read_bytes(), WEAKENED[weakening]))
    asked: list[str] = []
    passphrase = PassphraseFactor(lambda: asked.append("") or "correct horse")
    with pytest.raises(DataError) as caught:
        Agent.unlock("ada", DeviceKey(member / "ada.key"), passphrase)
    assert caught.value.code == "factor.parameters"
    assert asked == []


def test_changed_parameters_within_the_limits_do_not_open(member: Path) -> None:
    path = member / "ada.member"
    changed = _with_parameters(path.read_bytes(), lambda p: [p[0], p[1], p[2] + 1, p[3]])
    path.write_bytes(changed)
    with pytest.raises(DataError) as caught:
        Agent.unlock("ada", DeviceKey(member / "ada.key"), Passphrase("correct horse"))
    assert caught.value.code == "factor.wrong"


def _with_parameters(raw: bytes, change) -> bytes:
    """Another set of passphrase parameters in the one enrolment of a state file."""
    items = cbor.decode(raw, max_size=1 << 20)
    [enrolment] = items[4]
    blob = cbor.decode(enrolment)
    aad = cbor.decode(blob[1])
    aad[5] = [[k, change(p) if k == "passphrase" else p] for k, p in aad[5]]
    blob[1] = cbor.encode(aad)
    items[4] = [cbor.encode(blob)]
    assert decode_enrolment(items[4][0]).kinds == ("device-key", "passphrase")
    return cbor.encode(items)


@pytest.mark.parametrize("text", ["", "a\x00b", "a\x1bb"])
def test_a_passphrase_that_cannot_be_typed_is_refused(tmp_path: Path, shared: World, text) -> None:
    with pytest.raises(CallerError) as caught:
        create_member(
            "bo", [Passphrase(text)], deployment=deployment_card(shared.config), home=tmp_path
        )
    assert caught.value.code == "factor.passphrase-invalid"


@pytest.mark.parametrize(
    "content",
    [b"", b"no key", b"twinlock-device-key-1\n", b"twinlock-writer-key-1\nAAAA\n", bytes(3000)],
)
def test_a_damaged_key_file_is_named_as_such(member: Path, content: bytes) -> None:
    (member / "ada.key").write_bytes(content)
    with pytest.raises(DataError) as caught:
        Agent.unlock("ada", DeviceKey(member / "ada.key"), Passphrase("correct horse"))
    assert caught.value.code == "key-file.damaged"


# --- the member's installation -------------------------------------------------------------------


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"sqlalchemy", "alembic", "pkcs11", "pytest", "typer", "rich"}:
            raise ModuleNotFoundError(name)
        if name.startswith(("twinlock.server", "twinlock.store", "twinlock.token")):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
import twinlock as tl
from pathlib import Path
with tl.Agent.unlock("kim", tl.DeviceKey(sys.argv[1])) as agent:
    release = agent.release(Path(sys.argv[2]).read_bytes())
Path(sys.argv[3]).write_bytes(release.to_bytes())
"""


def test_a_member_releases_with_the_members_installation_alone(
    world: World, tmp_path: Path
) -> None:
    """R-AGENT-9."""
    world.clock.now = int(time.time())  # the other process has the machine's clock
    request = world.asked_for("over the wire")
    bundle, answer = tmp_path / "request", tmp_path / "release"
    for name in ("kim.key", "kim.member"):
        shutil.copy(world.founding.folder / name, tmp_path)
    with Agent.unlock("kim", DeviceKey(tmp_path / "kim.key")) as agent:
        bundle.write_bytes(request.bind(agent.hello(keep=True)))
    subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path / "kim.key"), str(bundle), str(answer)],
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    [opened] = world.vault.open(request, answer.read_bytes())
    assert opened.text().reveal() == "over the wire"
