"""``--check``: the demo's whole flow over real HTTP, with Python agents in place of browsers."""

from __future__ import annotations

import http.client
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from examples.clinic import passkey_check
from examples.clinic.people import PEOPLE
from examples.clinic.serving import ADDRESS, AGENT_HOST, Ports
from examples.clinic.visitor import Answer, Visitor
from examples.clinic.world import ClinicWorld
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.errors import TwinlockError

_LIST: Final = "/api/patients?ward="
_FIELDS: Final = ("twinlock_dek", "diagnosis", "allergies", "note")
_NOTE: Final = "Seen by the check; the family is told on Thursday."


class Check(NamedTuple):
    """What was tried, what was seen, and whether that is what the demo claims."""

    what: str
    seen: str
    held: bool


def run(world: ClinicWorld, ports: Ports) -> list[Check]:
    """Try everything against the sites that are being served. Works on copies of member files."""
    checking = _Checking(world, ports)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(shutil.copytree(world.home, Path(folder) / "members"))
        with checking.people(home):
            checking.lists()
            checking.emergency()
            checking.cookie()
            checking.edit()
            checking.discharge()
            checking.audit()
            checking.passkey(home)
    checking.database()
    checking.agent_site()
    return checking.checks


class _Checking:
    """One run; ``checks`` grows."""

    def __init__(self, world: ClinicWorld, ports: Ports) -> None:
        self.checks: list[Check] = []
        self._world = world
        self._ports = ports
        self._visitors: dict[str, Visitor] = {}
        self._plaintext: set[str] = {_NOTE}
        self._case = ""

    @contextmanager
    def people(self, home: Path) -> Iterator[None]:
        """Sign everybody in, with unlocked agents until the block ends."""
        try:
            for person in PEOPLE:
                key = DeviceKey(home / f"{person.username}.key")
                agent = Agent.unlock(person.username, key, Passphrase(person.passphrase), home=home)
                self._visitors[person.username] = Visitor(self._ports.clinic, agent)
                self._visitors[person.username].sign_in(person.username, person.password)
            yield
        finally:
            for visitor in self._visitors.values():
                if visitor.agent is not None:
                    visitor.agent.lock()

    def lists(self) -> None:
        """Each ward reads itself, but for the record that was forged, and no other ward."""
        for name, own, other in (
            ("weber", "cardiology", "surgery"),
            ("kim", "surgery", "cardiology"),
        ):
            answer = self._visitors[name].open("GET", _LIST + own)
            states = self._states(answer)
            whole = states["not-authentic"] == 1 and states["open"] == states.total() - 1 > 0
            self._add(f"{name} lists {own}", _words(states), whole)
            answer = self._visitors[name].open("GET", _LIST + other)
            self._add(f"{name} lists {other}", _said(answer), answer.code == "record.no-lock")
        states = self._states(self._visitors["kim"].open("GET", _LIST))
        some = states["open"] > 0 and states["no-lock"] > 0
        self._add("kim lists all wards", _words(states), some)

    def emergency(self) -> None:
        """The emergency group's policy wants a click for every release."""
        adler = self._visitors["adler"]
        try:
            seen = _said(adler.open("GET", f"/api/patients/{self._case}"))
        except TwinlockError as error:
            seen = error.code
        self._add("adler, without a click", seen, seen == "release.needs-approval")
        adler.approve = lambda _examined, _reason: True
        states = _states_of(adler.open("GET", f"/api/patients/{self._case}").json()["fields"])
        self._add("adler, with a click", _words(states), states["open"] == 3)

    def cookie(self) -> None:
        """A stolen cookie opens nothing, without an agent or with one of another member."""
        thief = Visitor(self._ports.clinic, cookie=self._visitors["weber"].cookie)
        answer = thief.open("GET", _LIST + "cardiology")
        held = answer.code == "http.release-needed" and not self._shows(answer)
        self._add("weber's cookie, stolen, no agent", _said(answer), held)
        thief.agent = self._visitors["kim"].agent
        answer = thief.open("GET", _LIST + "cardiology")
        held = answer.code == "http.other-member" and not self._shows(answer)
        self._add("weber's cookie, stolen, kim's agent", _said(answer), held)

    def edit(self) -> None:
        """Editing one field seals that field, and leaves the others as they are."""
        weber, path = self._visitors["weber"], f"/api/patients/{self._case}"
        before, revision = self._stored(), weber.open("GET", path).json()["revision"]
        edit = {"field": "note", "text": _NOTE, "revision": revision}
        refused = self._visitors["kim"].open("PATCH", path, edit)
        self._add("kim edits in cardiology", _said(refused), refused.status == 403)
        weber.open("PATCH", path, edit)
        changed = [name for name in _FIELDS if self._stored()[name] != before[name]]
        read = weber.open("GET", path).json()["fields"]["note"].get("text")
        seen = f"stored bytes that changed: {', '.join(changed)}"
        self._add("weber edits the note", seen, changed == ["note"] and read == _NOTE)

    def discharge(self) -> None:
        """A discharge opens what it needs, with a release of its own, and then has its effect."""
        weber, path = self._visitors["weber"], f"/api/patients/{self._case}"
        alone = Visitor(self._ports.clinic, cookie=weber.cookie).open("POST", f"{path}/discharge")
        self._add("discharge without an agent", _said(alone), alone.code == "http.release-needed")
        done = weber.open("POST", f"{path}/discharge")
        letter = weber.open("GET", path).json()["fields"]["letter"]
        self._plaintext.add(letter.get("text", ""))
        held = done.status == 200 and letter["state"] == "open"
        self._add(
            "discharge with weber's release", f"{done.status}, letter {letter['state']}", held
        )

    def audit(self) -> None:
        """The audit page names the releases; only the admin sees everybody's."""
        pages = {n: v.send("GET", "/audit", None, {}).body for n, v in self._visitors.items()}
        counts = {name: page.count(b" DEK") for name, page in pages.items()}
        others = b"<td>weber</td>" in pages["kim"]
        held = counts["weber"] > counts["kim"] > 0 and not others
        self._add("releases on the audit page", f"{counts}", held)

    def passkey(self, home: Path) -> None:
        """A passkey is added in a browser, signs in and unlocks, and is not missed when lost."""
        if lacking := passkey_check.missing():
            print(f"not tried  a passkey in a browser: {lacking} is not here")
            return
        origin, [weber, *_] = self._ports.clinic_origin, PEOPLE
        for what, seen, held in passkey_check.passkey_checks(origin, home, weber):
            self._add(what, seen, held)

    def database(self) -> None:
        """No plaintext of what was opened lies in the database."""
        with self._connection() as connection:
            rows = connection.execute(text("SELECT * FROM clinic_patient")).all()
        raw = b"".join(value for row in rows for value in row if isinstance(value, bytes))
        for path in self._world.folder.glob("*.db*"):
            raw += path.read_bytes()
        found = sum(word.encode() in raw for word in self._plaintext if word)
        seen = f"{found} of {len(self._plaintext)} texts found in {len(raw):,} bytes"
        self._add("the database, read by a thief", seen, found == 0 and len(self._plaintext) > 20)

    def agent_site(self) -> None:
        """The agent's origin serves its window, which may connect to nothing."""
        connection = http.client.HTTPConnection(ADDRESS, self._ports.agent, timeout=10)
        connection.request("GET", "/agent.html", headers={"Host": AGENT_HOST})
        response = connection.getresponse()
        policy = response.getheader("Content-Security-Policy", "")
        connection.close()
        held = response.status == 200 and "connect-src 'none'" in policy
        self._add("the agent's window", f"{response.status}, {policy[:40]}…", held)

    # --- looking ----------------------------------------------------------------------------

    def _add(self, what: str, seen: str, held: bool) -> None:
        self.checks.append(Check(what, seen, held))

    def _states(self, answer: Answer) -> Counter[str]:
        """Count what became of each diagnosis, and remember every text that was shown."""
        if answer.status != 200:
            return Counter({_said(answer): 1})
        patients = answer.json()["patients"]
        for patient in patients:
            texts = [field["text"] for field in patient["fields"].values() if "text" in field]
            self._plaintext.update(text for text in texts if len(text) > 12)
            if texts and not self._case and patient["case"] in self._present():
                self._case = patient["case"]
        return Counter(patient["fields"]["diagnosis"]["state"] for patient in patients)

    def _shows(self, answer: Answer) -> bool:
        return any(word.encode() in answer.body for word in self._plaintext if word)

    def _present(self) -> set[str]:
        """The cases of whom were not discharged, by an earlier check for example."""
        query = text('SELECT "case" FROM clinic_patient WHERE discharged IS NULL')
        with self._connection() as connection:
            return set(connection.execute(query).scalars())

    def _stored(self) -> dict[str, Any]:
        """The stored bytes of the patient that is edited."""
        query = text('SELECT * FROM clinic_patient WHERE "case" = :wanted')
        with self._connection() as connection:
            row = connection.execute(query, {"wanted": self._case}).mappings().one()
        return {name: row[name] for name in _FIELDS}

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        url = make_url(self._world.database)
        engine = create_engine(url.set(drivername=url.drivername.removesuffix("+aiosqlite")))
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _states_of(fields: dict[str, Any]) -> Counter[str]:
    return Counter(field["state"] for field in fields.values())


def _words(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _said(answer: Answer) -> str:
    return f"{answer.status} {answer.code or ''}".strip()
