"""Passwords, SCRAM, recovery codes and a smart card for a day, in a process of its own, all logged.

``python -m attacks.factor_ceremony FOLDER WEAKNESS``: see ``attacks.logs_ceremony``, whose ways to
log it uses. The smart card is a token of its own behind the same spy, so that the trace of the
member's side is looked at, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text

from attacks.factor_exchange import LyingServer
from attacks.harness import weakened
from attacks.logs_ceremony import WEAKNESSES as GENERAL
from attacks.logs_ceremony import Canaries, record
from attacks.powers import ACCOUNTS
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.member import create_member
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.scram import Scram
from twinlock.agent.state import load_state, state_path
from twinlock.agent.ways import NewWay
from twinlock.card.smart_card import SmartCard
from twinlock.core import login
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.core.primitives import agreement_key
from twinlock.core.scram.exchange import ChannelBinding
from twinlock.core.scram.keys import ScramKeys, scram_keys
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.server.login import check_login
from twinlock.server.scram import ScramLogin, ScramSession
from twinlock.server.setup import deployment_card
from twinlock.server.vault import Vault
from twinlock.testing import VaultHardening

_BINDING: Final = ChannelBinding("tls-server-end-point", b"hash of the certificate, 32 byte")
_POINT: Final = agreement_key(5).public
_WRONG: Final = "a password of nobody, 4711"
_KINDS: Final = {
    ("primitives", "argon2id"): "password's hash",
    ("scram", "lock"): "verifier",
    ("scram", "_unlock"): "verifier",
    ("verifiers", "unlock_verifier"): "verifier",
    ("keys", "stored_key"): "verifier",
    ("verifier", "to_text"): "verifier",
    ("smart_card", "multiply"): "card's answer",
}
"""What a trace shows by nature has a kind of its own."""


def _with_client_key(keys: ScramKeys, salt: bytes, iterations: int) -> ScramVerifier:
    return ScramVerifier(iterations, salt, keys.client_key, keys.server_key)


WEAKNESSES: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    "": nullcontext,
    "secrets show themselves": GENERAL["secrets show themselves"],
    "an application stores login secrets": lambda: weakened(
        (login, "login_verifier", lambda _, secret: secret.reveal())
    ),
    "ClientKey is locked in the verifier": lambda: weakened(
        (ScramVerifier, "of", _with_client_key)
    ),
}


class Application:
    """Accounts in a table of the application, as its SQL is logged."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.login = ScramLogin.of(vault, unknown=Secret(b"what accounts without a name answer "))
        self._engine = create_engine(vault.config.store_url)
        self._session: ScramSession | None = None

    def put(self, name: str, kind: str, value: bytes) -> None:
        """Store a value."""
        where = {"name": name, "kind": kind, "value": value}
        with self._engine.begin() as connection:
            statement = f"delete from {ACCOUNTS} where name = :name and kind = :kind"
            connection.execute(text(statement), where)
            connection.execute(text(f"insert into {ACCOUNTS} values (:name, :kind, :value)"), where)

    def get(self, name: str, kind: str) -> bytes | None:
        """Return a value."""
        query = f"select value from {ACCOUNTS} where name = :name and kind = :kind"
        with self._engine.begin() as connection:
            found = connection.execute(text(query), {"name": name, "kind": kind}).scalar()
            return bytes(found) if found is not None else None

    def first(self, client_first: str) -> str:
        """See ``ScramLogin.begin``."""
        find = lambda name: self.get(name, "scram")  # noqa: E731
        self._session = self.login.begin(client_first, find, binding=_BINDING)
        return self._session.server_first

    def final(self, client_final: str) -> str:
        """See ``ScramSession.finish``."""
        if self._session is None:
            raise LookupError("this exchange was not begun")
        return self._session.finish(client_final)


class FactorDay:
    """What members with passwords, codes and cards do in a day, and what goes wrong."""

    def __init__(self, folder: Path, job: Mapping[str, str], canaries: Canaries) -> None:
        self.folder, self.job, self.canaries = folder, job, canaries
        self.vault = Vault.connect(folder / "twinlock.toml")
        self.application = Application(self.vault)
        self.kept: list[object] = [self.vault, self.application.login]
        self.errors: list[BaseException] = []
        self.card = SmartCard(job["card"], lambda: Secret(job["card pin"].encode()))
        self.code = self.mistyped = ""

    def phases(self) -> Mapping[str, Callable[[], None]]:
        """Enrol, sign in and unlock, change, fail."""
        return {
            "enrol": self.enrol,
            "sign-in": self.sign_in,
            "change": self.change,
            "fail": self.fail,
        }

    # --- people ----------------------------------------------------------------------------------

    def password(self, name: str, typed: str) -> Password:
        """A password, hardened by the vault."""
        factor = Password(
            typed,
            deployment=deployment_card(self.vault.config),
            service=VaultHardening(self.vault, name.encode()),
        )
        self.kept.append(factor)
        return factor

    def join(self, name: str, *factors: EnrollableFactor) -> Enrolment:
        """Become a member."""
        card = deployment_card(self.vault.config)
        create_member(name, factors, deployment=card, home=self.folder)
        return self.enrolment(name)

    def enrolment(self, name: str) -> Enrolment:
        """The newest enrolment of a member."""
        return load_state(state_path(self.folder, name)).enrolments[-1]

    def unlock(self, name: str, *factors: Factor) -> None:
        """Unlock and lock again."""
        with Agent.unlock(name, *factors, home=self.folder) as agent:
            self.kept += [agent, *factors]

    # --- phases ----------------------------------------------------------------------------------

    def enrol(self) -> None:
        """Everybody's first enrolment."""
        password = self.password("ada", self.job["password"])
        enrolment = self.join("ada", password)
        secret = password.login_secret(enrolment)
        self.canaries.add("login secret", secret.reveal())
        self.application.put("ada", "enrolment", enrolment.raw)
        verifier = login.login_verifier(enrolment.member_id, secret)
        self.application.put("ada", "login", verifier)
        scram, key = self._scram(), DeviceKey.create(self.folder / "dan.key")
        locked = self.application.login.lock("dan", scram.new_verifier())
        self.application.put("dan", "scram", locked)
        enrolment = self.join("dan", scram, key)
        self._note_client_key(enrolment)
        code, printed = RecoveryCode.create()
        self.code = printed.reveal()
        self.mistyped = self.code[:-1] + ("0" if self.code[-1] != "0" else "1")
        self.canaries.add("recovery code", self.code[:-1].encode())
        self.canaries.add("recovery code", self.code.replace("-", "")[:-1].encode())
        self.join("rhea", code)
        self.join("carl", self.card.factor())

    def _note_client_key(self, enrolment: Enrolment) -> None:
        salt, iterations = dict(enrolment.factors)["scram"]
        keys = scram_keys(self.job["scram password"], salt, iterations)
        self.canaries.add("ClientKey", keys.client_key.reveal())
        self.canaries.add("verifier", keys.server_key.reveal())
        self.canaries.add("verifier", keys.stored_key.reveal())

    def sign_in(self) -> None:
        """Log in where there is a login, then unlock."""
        enrolment, password = self.enrolment("ada"), self.password("ada", self.job["password"])
        verifier = self.application.get("ada", "login")
        check_login(verifier, enrolment.member_id, password.login_secret(enrolment))
        self.unlock("ada", password)
        scram = self._scram()
        scram.sign_in("dan", self.enrolment("dan"), self.application, binding=_BINDING)
        self.unlock("dan", scram, DeviceKey(self.folder / "dan.key"))
        self.unlock("rhea", RecoveryCode(self.code))
        self.unlock("carl", self.card.factor())

    def change(self) -> None:
        """Another password."""
        new = self.password("ada", self.job["new password"])
        known = [self.password("ada", self.job["password"])]
        with Agent.unlock("ada", *known, home=self.folder) as agent:
            agent.ways.enrol(NewWay([new]))
        enrolment = self.enrolment("ada")
        secret = new.login_secret(enrolment)
        self.canaries.add("login secret", secret.reveal())
        self.application.put("ada", "enrolment", enrolment.raw)
        self.application.put("ada", "login", login.login_verifier(enrolment.member_id, secret))

    def fail(self) -> None:
        """What is refused, each with its traceback; no frame of these holds a secret itself."""
        dan = self.enrolment("dan")
        acts: tuple[Callable[[], object], ...] = (
            lambda: self.unlock("ada", self.password("ada", _WRONG)),
            lambda: self.password("ada", _WRONG + "\x00").login_secret(self.enrolment("ada")),
            lambda: self._spend("ada"),
            lambda: check_login(None, dan.member_id, Secret(bytes(range(32)))),
            lambda: self.unlock("rhea", RecoveryCode(self.mistyped)),
            lambda: self.unlock("dan", self._scram()),
            lambda: self._bound(_WRONG, dan),
            lambda: self._bound(_WRONG + "\x00", dan),
            lambda: self._scram().sign_in("dan", dan, self.application),
            lambda: self._scram().sign_in("dan", dan, LyingServer(b"x" * 16, 1)),
            lambda: self.unlock("carl", self._wrong_card().factor()),
        )
        for act in acts:
            try:
                act()
            except TwinlockError as error:
                self.errors.append(error)
            else:
                raise LookupError("an act that must fail did not")

    def _bound(self, typed: str, enrolment: Enrolment) -> None:
        scram = Scram(typed)
        del typed
        scram.sign_in("dan", enrolment, self.application, binding=_BINDING)

    def _scram(self) -> Scram:
        return Scram(self.job["scram password"])

    def _wrong_card(self) -> SmartCard:
        return SmartCard(self.job["card"], lambda: Secret(self.job["wrong pin"].encode()))

    def _spend(self, name: str) -> None:
        """Have the limit refuse a password that is right."""
        service, enrolment = VaultHardening(self.vault, name.encode()), self.enrolment(name)
        kid = service.offer().kid
        with suppress(TwinlockError):
            while True:
                service.evaluate(kid, _POINT, _POINT)
        self.password(name, self.job["new password"]).login_secret(enrolment)


def main() -> None:
    """Record a day of passwords, codes and cards."""
    folder, weakness = Path(sys.argv[1]), sys.argv[2]
    job = json.loads((folder / "job.json").read_text())
    canaries = Canaries(_KINDS)
    for kind in ("password", "scram password", "new password", "card pin", "pin"):
        canaries.add(kind, job[kind].encode())
    canaries.add("password", _WRONG.encode())
    canaries.add("card pin", job["wrong pin"].encode())
    record(folder, canaries, WEAKNESSES[weakness](), lambda: FactorDay(folder, job, canaries))


if __name__ == "__main__":
    main()
