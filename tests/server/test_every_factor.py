"""Every factor and every sensible pair, on a real token: enrolled, used, changed, revoked, lost."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest

import twinlock.core.factors
from tests.server.factor_life import (
    REFUSED,
    Life,
    code_of,
    enrolling,
    factors_of,
    sign_in,
    tries_the_newest_key,
    wrong_code,
)
from tests.server.factor_matrix import (
    BY_NAME,
    BY_OPERATOR,
    HERE,
    LATER,
    NOT_SENSIBLE,
    PAIRS,
    ROWS,
    TRIPLES,
    Row,
)
from tests.server.factor_things import CONTACTS, TEXT, THINGS, Scene, Thing, kind_of
from tests.server.world import DIAGNOSIS
from twinlock.agent.aiding import Aiding
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.member_bundle import decode_member_bundle


@pytest.fixture
def life(request: pytest.FixtureRequest, scene: Scene, tmp_path: Path) -> Life:
    row: Row = request.param
    if "device-key in keyring" in row.things:
        request.getfixturevalue("session")
    return Life(scene, row, tmp_path)


def rows(*, contacts: bool) -> pytest.MarkDecorator:
    chosen = [row for row in ROWS if ("contacts" in row.things) is contacts]
    return pytest.mark.parametrize("life", chosen, indirect=True, ids=lambda row: row.name)


# --- the table itself -----------------------------------------------------------------------------


def kinds_in_code() -> set[str]:
    """The kinds of all factor classes that the core has."""
    found = set()
    for module in pkgutil.iter_modules(twinlock.core.factors.__path__):
        loaded = import_module(f"twinlock.core.factors.{module.name}")
        for value in vars(loaded).values():
            if isinstance(value, type) and value.__module__ == loaded.__name__:
                kind = getattr(value, "kind", None)
                if isinstance(kind, property) and hasattr(value, "output"):
                    found.add(kind.fget(object.__new__(value)))
    return found


def test_every_kind_has_a_row() -> None:
    kinds = kinds_in_code()
    assert len(kinds) >= 8
    assert {kind_of(name) for row in ROWS for name in row.things} == kinds
    assert {name for row in ROWS if len(row.things) == 1 for name in row.things} == set(THINGS)


def test_every_pair_is_tried_or_is_not_sensible() -> None:
    tried = {tuple(sorted(map(kind_of, row.things))) for row in PAIRS}
    possible = set(combinations(sorted(kinds_in_code()), 2))
    assert tried | set(NOT_SENSIBLE) == possible
    assert not tried & set(NOT_SENSIBLE)


def test_the_documentation_lists_what_is_tried() -> None:
    """docs/factors.md: every kind, every pair and triple, and where it is kept."""
    lines = (Path(__file__).parents[2] / "docs" / "factors.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines if line[:3] == "| `"]
    named = {name.strip("`"): kept for name, kept in cells}
    where = {BY_NAME: "at the server", BY_OPERATOR: "at the server, by an operator"}
    together = [row for row in PAIRS + TRIPLES if "device-key in keyring" not in row.things]
    assert kinds_in_code() <= set(named)
    assert {name: kept for name, kept in named.items() if "+" in name} == {
        row.name: where[row.kept] for row in together
    }


# --- one life for each row ------------------------------------------------------------------------


@rows(contacts=False)
def test_a_way_in_serves_its_member_for_a_lifetime(life: Life, tmp_path: Path) -> None:
    """R-FACTOR-1, R-FACTOR-2, R-WAYS-3, R-WAYS-7, R-WAYS-9, R-WAYS-10."""
    life.enrol()
    opens_and_nothing_else_does(life)
    arrives(life)
    changes(life)
    revokes(life)
    (tmp_path / "new computer").mkdir()
    recovers(life, tmp_path / "new computer")


def opens_and_nothing_else_does(life: Life) -> None:
    agent = life.person.agent = life.unlocked(life.have)
    assert life.opens(agent) == TEXT
    enrolment = life.enrolment_of(agent, "first")
    assert set(enrolment.kinds) == set(map(kind_of, life.row.things))
    if life.row.made == LATER:
        assert set(sign_in(life.have, enrolment)) == {""}
    for at, name in enumerate(life.row.things):
        assert code_of(life.unlocked_by, life.with_one_other(at)) == wrong_code([name])
    if len(life.row.things) > 1:
        assert code_of(life.unlocked, life.have[1:]) == "factor.missing"


def arrives(life: Life) -> None:
    """On a computer that knows nothing, if the server keeps the way in; else nobody does."""
    if life.row.kept == HERE:
        assert code_of(life.arrival, life.have) == "factor.wrong"
        asked = NewWay(enrolling(life.have), at_server=True)
        assert code_of(life.agent.ways.enrol, asked, scram_alone=True) == "enrolment.guessable"
        return
    agent = life.arrives(life.arrival(life.have))
    assert life.opens(agent) == TEXT
    named = code_of(life.world.vault.members.bundle, life.name, map(kind_of, life.row.things))
    assert named == ("" if life.row.kept == BY_NAME else "enrolment.no-such-kind")


def changes(life: Life) -> None:
    """Another value of each kind: the keys stay, and the former values open nothing any more."""
    keys, before = life.agent.ways.keys, life.enrolment_of(life.agent, "first")
    former = life.change()
    refused = wrong_code(life.row.things)
    assert code_of(life.unlocked, former) == refused
    if life.row.kept != HERE:
        assert code_of(life.arrival, former) == refused
    agent = life.person.agent = life.unlocked(life.have)
    assert agent.ways.keys.signing.public == keys.signing.public
    assert life.opens(agent) == TEXT
    enrolment = life.enrolment_of(agent, "first")
    assert set(sign_in(life.have, enrolment)) == {""}
    assert sign_in(former, before) == [REFUSED.get(name, "") for name in life.row.things]


def revokes(life: Life) -> None:
    """Whoever has the things and all that the computer kept opens nothing that comes afterwards."""
    old = life.unlocked(life.have, life.stolen())
    life.scene.follow(old)
    pending = life.world.asked((DIAGNOSIS, life.record))
    release = old.release(pending)
    agent = life.revoke(life.folder)
    bundle = life.groups()
    assert code_of(old.follow, bundle) == "member.keys-retired"
    assert tries_the_newest_key(old, agent, bundle) == {"data.not-authentic"}
    assert code_of(life.world.vault.open, pending, release) == "release.not-authentic"
    after = life.world.vault.seal("afterwards", to=life.group, context=DIAGNOSIS)
    assert code_of(old.release, life.world.asked((DIAGNOSIS, after))) == "member.keys-retired"
    assert life.opens(agent) == TEXT
    assert life.opens(agent, after) == "afterwards"


def recovers(life: Life, home: Path) -> None:
    """Everything of the way in is lost, with the computer: the other way in is what is left."""
    lost = {enrolment.enrolment_id for enrolment in life.agent.ways.state.enrolments}
    if life.row.back == "contacts":
        code = life.things("recovery-code")
        life.accept(life.recover(life.ask_contacts(), home, [NewWay(enrolling(code))], []))
        agent = life.finish(home, code)
    else:
        life.person.agent = life.arrives(life.arrival(life.spare, [life.row.back]), home)
        agent = life.revoke(home, "device-key")
    assert life.opens(agent) == TEXT
    kept = decode_member_bundle(life.world.vault.members.everything(agent.member_id)).blobs
    assert lost.isdisjoint(decode_enrolment(blob).enrolment_id for blob in kept)


# --- contacts -------------------------------------------------------------------------------------


@rows(contacts=True)
def test_contacts_bring_a_member_back(life: Life, tmp_path: Path) -> None:
    """R-CONTACTS-7, R-CONTACTS-9, R-CONTACTS-10, R-WAYS-9, R-WAYS-10: and what else it takes."""
    home = tmp_path / "new computer"
    home.mkdir()
    life.enrol()
    assert life.opens(life.agent) == TEXT
    assert code_of(life.arrival, life.have) == "factor.wrong"
    changed_contacts(life, home)
    revoked_contacts(life, home)
    after = life.world.vault.seal("afterwards", to=life.group, context=DIAGNOSIS)
    code, old = life.things("recovery-code"), life.agent
    ways = [NewWay(enrolling(code))]
    life.accept(life.recover(life.ask_contacts(), home, ways, factors_of(beside(life))))
    agent = life.finish(home, code)
    assert (life.opens(agent), life.opens(agent, after)) == (TEXT, "afterwards")
    assert code_of(old.follow, life.groups()) == "member.keys-retired"


def beside(life: Life) -> list[Thing]:
    """What a way in takes beside its contacts."""
    named = zip(life.have, life.row.things, strict=True)
    return [thing for thing, name in named if name != "contacts"]


def changed_contacts(life: Life, home: Path) -> None:
    """Shares alone are not enough where there is more to it, and none after a change."""
    device, ways = life.ask_contacts(), [NewWay(enrolling(life.things("recovery-code")))]
    names = [name for name in life.row.things if name != "contacts"]
    for at, name in enumerate(names):
        factors = factors_of(beside(life))
        factors[at] = life.other(name).factor()
        assert code_of(life.recover, device, home, ways, factors) == wrong_code([name])
    if names:
        assert code_of(life.recover, device, home, ways, []) == "factor.missing"
    keys, former = life.agent.ways.keys, factors_of(beside(life))
    life.change()
    assert life.agent.ways.keys.signing.public == keys.signing.public
    assert code_of(life.recover, device, home, ways, former) == "recovery.over"


def revoked_contacts(life: Life, home: Path) -> None:
    """Letters that lead to old keys move no contact's agent, and open nothing at the server."""
    device, former = life.ask_contacts(), factors_of(beside(life))
    ways = [NewWay(enrolling(life.things("recovery-code")))]
    assert life.opens(life.revoke(life.folder)) == TEXT
    contact = life.scene.agent(CONTACTS[2])
    life.scene.follow(contact)
    assert code_of(Aiding.of(contact).reply, device.ask.encode()) == "recovery.retired"
    assert code_of(life.recover, device, home, ways, former) == "recovery.over"
