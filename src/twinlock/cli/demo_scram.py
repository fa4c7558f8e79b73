"""The demo's SCRAM account: the server sees ClientKey, and a device key keeps it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay
from twinlock.cli.demo_guesser import client_key, opens
from twinlock.cli.demo_stage import TABLE, Stage
from twinlock.cli.demo_thief import find_candidates
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.factors.scram import scram_output
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.member_change import Login
from twinlock.core.primitives import sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.server.scram import ScramLogin, ScramSession
from twinlock.server.vault import Vault

_PASSWORD: Final = "herons at the weir"  # noqa: S105 - a member of the demo
_KINDS: Final = ("device-key", "scram")


@dataclass(slots=True)
class Line:
    """The honest server at the end of a line, and all that passed over it."""

    vault: Vault
    passed: list[str] = field(default_factory=list)
    account: str = ""
    _session: ScramSession | None = None

    def first(self, client_first: str) -> str:
        """See ``ScramLogin.begin``."""
        login = ScramLogin.of(self.vault, unknown=self.vault.stranger_secret)
        self._session = login.begin(client_first, self.find)
        self.passed += [client_first, self._session.server_first]
        return self._session.server_first

    def final(self, client_final: str) -> str:
        """See ``ScramSession.finish``."""
        if self._session is None:
            raise CallerError("demo.scram", "No exchange was begun.", hint="Run the demo again.")
        answer = self._session.finish(client_final)
        self.passed.append(client_final)
        self.account = self._session.account
        return answer

    def find(self, name: str) -> bytes | None:
        """Find an account's locked verifier."""
        return next(iter(self.vault.members.logins(name, "scram")), None)


def sign_in_by_scram(stage: Stage) -> None:
    """Sign in by one password, unlock with it and a device key, and let the server try the same."""
    world = stage.world
    chosen, key = Scram(_PASSWORD), world.device_key("noor")
    verifier = Login("scram", chosen.new_verifier().to_text().reveal())
    world.noor.ways.enrol(
        NewWay([chosen, key], "SCRAM and key"), logins=[verifier], send=world.vault.members.accept
    )
    shown = decode_member_bundle(world.vault.members.bundle("noor", _KINDS))
    enrolment = decode_enrolment(shown.blobs[0])
    typed, line = Scram(_PASSWORD), Line(world.vault)
    typed.sign_in("noor", enrolment, line)
    with world.agent_of(world.arrive("noor", typed, key)) as agent:
        equal, total = stage.open_rows(agent, stage.source.rows[:1])
    stage.check(
        "noor signs in by SCRAM; its ClientKey and her device key unlock",
        f"signed in: {line.account}; {equal} of {total} rows equal the source",
        line.account == "noor" and equal == total,
    )
    _server_tries(stage, enrolment, line)


def _server_tries(stage: Stage, enrolment: Enrolment, line: Line) -> None:
    """Compute ClientKey from the exchange, and put everything that lies around beside it."""
    world = stage.world
    locked = line.find("noor")
    if locked is None:
        raise CallerError("demo.scram", "noor has no account.", hint="Run the demo again.")
    stored = world.vault.verifiers.unlock("noor", locked).stored_key.reveal()
    seen = client_key(line.passed, stored)
    scram = scram_output(enrolment.place, Secret(seen)).reveal()
    rows = world.vault.store.records.rows(TABLE)
    guesses = find_candidates(world.folder / "store.db", world.pin.reveal(), rows)
    guesses += [seen, stored, scram]
    opened = sum(opens(enrolment, {"device-key": guess, "scram": scram}) for guess in guesses)
    device = world.device_key("noor").output(dict(enrolment.factors)["device-key"], enrolment.place)
    both = opens(enrolment, {"device-key": device.reveal(), "scram": scram})
    right = sha256(seen) == stored
    stage.check(
        "The server computes ClientKey from that exchange, and has no device key",
        f"ClientKey {'right' if right else 'wrong'}; opened by {opened} of {len(guesses)} tries; "
        f"with the device key: {'opened' if both else 'refused'}",
        right and both and not opened,
    )
