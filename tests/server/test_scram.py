"""SCRAM: sign in and unlock with one password, and what servers, thieves and liars get."""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.agent.enrolling import add_enrolment
from tests.server.world import World, world_in_memory, world_on_softhsm
from tests.token.rigs import init_softhsm
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.agent.member import create_member
from twinlock.agent.scram import Scram
from twinlock.agent.state import load_state
from twinlock.core import cbor
from twinlock.core.enrolment import Enrolment, enrol
from twinlock.core.factors.scram import scram_output
from twinlock.core.primitives import Kem
from twinlock.core.scram.exchange import ChannelBinding, begin
from twinlock.core.scram.keys import scram_keys
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError
from twinlock.server.scram import ScramLogin, ScramSession
from twinlock.server.setup import add_verifier_key, deployment_card

WORDS = "Zürich, correct horse"
ACCOUNT = "ayse"
BINDING = ChannelBinding("tls-server-end-point", b"hash of this server's certificate")


@dataclass
class Application:
    """An application with accounts, and one agent's way to it; it records what passes."""

    login: ScramLogin
    accounts: dict[str, bytes] = field(default_factory=dict)
    binding: ChannelBinding | None = None
    signed_in: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    session: ScramSession | None = None

    def first(self, client_first: str) -> str:
        self.session = self.login.begin(client_first, self.accounts.get, binding=self.binding)
        self.recorded += [client_first, self.session.server_first]
        return self.session.server_first

    def final(self, client_final: str) -> str:
        assert self.session is not None
        self.recorded.append(client_final)
        answer = self.session.finish(client_final)
        self.signed_in.append(self.session.account)
        return answer


on_both = pytest.mark.parametrize("world", ["memory", "softhsm"], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, softhsm_folder: Path) -> Iterator[World]:
    """A deployment with a verifier key."""
    groups = {"ward": ("weber",)}
    made = (
        world_in_memory(groups=groups)
        if getattr(request, "param", "memory") == "memory"
        else world_on_softhsm(tmp_path, init_softhsm(f"scram {os.urandom(4).hex()}"), groups=groups)
    )
    with made as world:
        vault = world.vault
        add_verifier_key(vault.store, vault.token, vault.config, now=world.clock())
        world.clock.forward(120)
        yield world


@pytest.fixture
def application(world: World) -> Application:
    return Application(ScramLogin.of(world.vault, unknown=Secret(b"u" * 32)))


def refused_with(code: str, family: type[Exception], act: Any, *given: Any, **named: Any) -> None:
    with pytest.raises(family) as caught:
        act(*given, **named)
    assert caught.value.code == code


def registered(application: Application) -> Scram:
    """A new account; returns the factor that an enrolment can be made with."""
    scram = Scram(WORDS)
    application.accounts[ACCOUNT] = application.login.lock(ACCOUNT, scram.new_verifier())
    return scram


def enrolled(world: World, home: Path, *factors: Any, alone: bool = False) -> Enrolment:
    card = deployment_card(world.config)
    create_member(ACCOUNT, factors, deployment=card, home=home, scram_alone=alone)
    return load_state(home / f"{ACCOUNT}.member").enrolments[0]


@on_both
def test_one_password_signs_in_and_unlocks_with_a_device_key(
    world: World, application: Application, tmp_path: Path
) -> None:
    """R-SCRAM-2, R-SCRAM-4."""
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolment = enrolled(world, tmp_path, registered(application), key)
    scram = Scram(WORDS)
    scram.sign_in(ACCOUNT, enrolment, application)
    assert application.signed_in == [ACCOUNT]
    Agent.unlock(ACCOUNT, scram, key, home=tmp_path).lock()
    refused_with(
        "factor.wrong", DataError, Agent.unlock, ACCOUNT, Scram("zürich"), key, home=tmp_path
    )


def test_a_wrong_password_does_not_sign_in(
    world: World, application: Application, tmp_path: Path
) -> None:
    """R-SCRAM-7."""
    enrolment = enrolled(world, tmp_path, registered(application), alone=True)
    wrong = Scram("zürich, correct horse")
    refused_with("scram.refused", CallerError, wrong.sign_in, ACCOUNT, enrolment, application)
    assert application.signed_in == []


def test_an_account_with_a_verifier_of_before_is_met_and_enrolled(
    world: World, application: Application, tmp_path: Path
) -> None:
    """R-SCRAM-1, R-SCRAM-4: PostgreSQL's text comes in, its salt and count are pinned."""
    salt = os.urandom(16)
    text = ScramVerifier.of(scram_keys(WORDS, salt, 600_001), salt, 600_001).to_text()
    application.accounts[ACCOUNT] = application.login.lock(ACCOUNT, text)
    scram = Scram(WORDS)
    scram.meet(ACCOUNT, application)
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolment = enrolled(world, tmp_path, scram, key)
    assert dict(enrolment.factors)["scram"] == [salt, 600_001]
    Scram(WORDS).sign_in(ACCOUNT, enrolment, application)
    assert application.signed_in == [ACCOUNT, ACCOUNT]


def test_a_verifier_of_4096_iterations_logs_in_but_is_no_factor(application: Application) -> None:
    """R-SCRAM-4."""
    salt, count = os.urandom(16), 4096
    keys = scram_keys(WORDS, salt, count)
    locked = application.login.lock(ACCOUNT, ScramVerifier.of(keys, salt, count))
    application.accounts[ACCOUNT] = locked
    start = begin(ACCOUNT, os.urandom)
    proof = start.prove(application.first(start.first), keys, salt=salt, iterations=count)
    proof.accept(application.final(proof.final))
    assert application.signed_in == [ACCOUNT]
    refused_with("factor.parameters", DataError, Scram(WORDS).meet, ACCOUNT, application)


@pytest.mark.parametrize(
    "others",
    [["device-key"], ["recovery-code"], ["smart-card"], ["passkey"], ["device-key", "password"]],
)
def test_a_factor_of_128_bits_lets_scram_be_one(others: list[str]) -> None:
    """R-SCRAM-5."""
    assert enrol_kinds("scram", *others) == tuple(sorted(("scram", *others)))


@pytest.mark.parametrize("others", [[], ["password"], ["passphrase"], ["password", "passphrase"]])
def test_scram_without_a_factor_of_128_bits_is_refused_unless_asked_for(others: list[str]) -> None:
    """R-SCRAM-5."""
    refused_with("factor.scram-alone", CallerError, enrol_kinds, "scram", *others)
    assert enrol_kinds("scram", *others, alone=True) == tuple(sorted(("scram", *others)))


@dataclass
class Plain:
    """A factor of any kind."""

    kind: str

    def new_parameters(self, randomness: Any, place: Any) -> list[Any]:
        return []

    def output(self, parameters: Any, place: Any) -> Secret:
        return Secret(bytes(32))


def enrol_kinds(*kinds: str, alone: bool = False) -> tuple[str, ...]:
    return enrol(
        Secret(bytes(32)),
        [Plain(kind) for kind in kinds],
        deployment_id=bytes(16),
        member_id=bytes(16),
        kem=Kem.DHKEM_P256,
        randomness=os.urandom,
        scram_alone=alone,
    ).kinds


def test_a_member_gets_scram_as_a_second_way_in_under_the_same_rule(
    world: World, application: Application, tmp_path: Path
) -> None:
    """R-SCRAM-5."""
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolled(world, tmp_path, key)
    scram = registered(application)
    refused_with(
        "factor.scram-alone", CallerError, add_enrolment, ACCOUNT, [key], [scram], home=tmp_path
    )
    add_enrolment(ACCOUNT, [key], [scram], home=tmp_path, scram_alone=True)
    Agent.unlock(ACCOUNT, Scram(WORDS), home=tmp_path).lock()


# --- servers that lie (attack 15) -----------------------------------------------------------------


@dataclass
class Liar:
    """A server that names other parameters, and notes what it is sent."""

    honest: Application
    salt: bytes | None = None
    iterations: int | None = None
    sent: list[str] = field(default_factory=list)

    def first(self, client_first: str) -> str:
        self.sent.append(client_first)
        nonce, salt, count = self.honest.first(client_first).split(",")
        salt = salt if self.salt is None else "s=" + b64encode(self.salt).decode()
        count = count if self.iterations is None else f"i={self.iterations}"
        return ",".join((nonce, salt, count))

    def final(self, client_final: str) -> str:
        self.sent.append(client_final)
        return self.honest.final(client_final)


@pytest.mark.parametrize(
    "lie", [{"iterations": 4096}, {"iterations": 1}, {"iterations": 599_999}, {"salt": bytes(16)}]
)
def test_a_server_that_lies_about_salt_or_count_gets_nothing_to_guess_at(
    world: World, application: Application, tmp_path: Path, lie: dict[str, Any]
) -> None:
    """R-SCRAM-3: the downgrade, to an iteration count at which guessing is cheap."""
    enrolment = enrolled(world, tmp_path, registered(application), alone=True)
    liar = Liar(application, **lie)
    refused_with("scram.downgrade", DataError, Scram(WORDS).sign_in, ACCOUNT, enrolment, liar)
    [only] = liar.sent
    assert only.startswith(f"n,,n={ACCOUNT},r=")


def test_at_the_first_exchange_a_low_count_is_refused_too(application: Application) -> None:
    """R-SCRAM-4."""
    registered(application)
    liar = Liar(application, iterations=4096)
    refused_with("factor.parameters", DataError, Scram(WORDS).meet, ACCOUNT, liar)
    assert len(liar.sent) == 1


def test_a_client_without_the_check_would_hand_out_a_cheap_guess(application: Application) -> None:
    """The mutated build of R-SCRAM-3: one exchange at count 4096 tests passwords offline."""
    registered(application)
    liar = Liar(application, salt=bytes(16), iterations=4096)
    start = begin(ACCOUNT, os.urandom)
    offer = start.read(liar.first(start.first))
    keys = scram_keys(WORDS, offer.salt, offer.iterations)
    first = f"r={offer.nonce},s={b64encode(offer.salt).decode()},i=4096"
    final = start.prove(first, keys, salt=offer.salt, iterations=4096).final
    confirmed = [
        guess
        for guess in ("password", WORDS)
        if start.prove(first, scram_keys(guess, bytes(16), 4096), salt=bytes(16), iterations=4096)
        .final == final
    ]  # fmt: skip
    assert confirmed == [WORDS]


# --- what whoever ends the exchange sees (attack 15) ----------------------------------------------


def client_key_of(stored_key: bytes, recorded: list[str]) -> bytes:
    """ClientKey from StoredKey and one recorded exchange (RFC 5802 section 9)."""
    client_first, server_first, client_final = recorded
    unproved, proof = client_final.rsplit(",p=", 1)
    bare = client_first.split(",", 2)[2]
    message = ",".join((bare, server_first, unproved)).encode()
    signature = hmac.digest(stored_key, message, "sha256")
    return bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))


@dataclass
class Stolen:
    """A factor made of a ClientKey that somebody computed."""

    client_key: bytes
    kind: str = "scram"

    def output(self, parameters: Any, place: Any) -> Secret:
        return scram_output(place, Secret(self.client_key))


def test_stored_key_and_one_recorded_exchange_give_client_key_which_the_device_key_keeps_out(
    world: World, application: Application, tmp_path: Path
) -> None:
    """R-SCRAM-5: alone, the enrolment opens to the server; with a device key it does not."""
    key = DeviceKey.create(tmp_path / "ayse.key")
    scram = registered(application)
    both = enrolled(world, tmp_path, scram, key)
    Scram(WORDS).sign_in(ACCOUNT, both, application)
    # The server has StoredKey while the exchange runs.
    verifier = application.login._locks.unlock(ACCOUNT, application.accounts[ACCOUNT])
    client_key = client_key_of(verifier.stored_key.reveal(), application.recorded)
    assert hashlib.sha256(client_key).digest() == verifier.stored_key.reveal()
    thief = Stolen(client_key)
    other_key = DeviceKey.create(tmp_path / "thief.key")
    refused_with("factor.wrong", DataError, Agent.unlock, ACCOUNT, thief, other_key, home=tmp_path)
    add_enrolment(ACCOUNT, [scram, key], [scram], home=tmp_path, scram_alone=True)
    Agent.unlock(ACCOUNT, thief, home=tmp_path).lock()


def test_a_recorded_exchange_alone_gives_no_client_key(
    world: World, application: Application, tmp_path: Path
) -> None:
    """R-SCRAM-6: with the locked verifier beside it, a thief of database and traffic has no key."""
    enrolment = enrolled(world, tmp_path, registered(application), alone=True)
    Scram(WORDS).sign_in(ACCOUNT, enrolment, application)
    locked = application.accounts[ACCOUNT]
    sealed = cbor.decode(locked)[4]
    for start in range(len(sealed) - 31):
        client_key = client_key_of(sealed[start : start + 32], application.recorded)
        assert hashlib.sha256(client_key).digest() != sealed[start : start + 32]


def test_a_stolen_database_tests_no_password_and_a_plain_verifier_would(
    application: Application,
) -> None:
    """R-SCRAM-6."""
    made = Scram(WORDS).new_verifier()
    locked = application.login.lock(ACCOUNT, made)

    def confirmed(stored: bytes) -> list[str]:
        return [
            guess
            for guess in ("password", WORDS)
            if scram_keys(guess, made.salt, made.iterations).stored_key.reveal() in stored
        ]

    assert confirmed(locked) == []
    plain = b64decode(made.to_text().reveal().split(b"$")[2].split(b":")[0])
    assert confirmed(plain) == [WORDS]


# --- what is stored -------------------------------------------------------------------------------


@on_both
def test_a_verifier_moved_or_changed_is_refused(world: World, application: Application) -> None:
    """R-SCRAM-6: who writes to the database does not sign in as somebody else."""
    registered(application)
    locked = application.accounts[ACCOUNT]
    label, kid, iterations, salt, sealed = cbor.decode(locked)
    start = begin("weber", os.urandom)
    moved = {"weber": locked}
    refused_with("data.not-authentic", DataError, application.login.begin, start.first, moved.get)
    start = begin(ACCOUNT, os.urandom)
    for changed in (
        [label, kid, 4096, salt, sealed],
        [label, kid, iterations, bytes(16), sealed],
        [label, kid, iterations, salt, sealed[:-1] + bytes([sealed[-1] ^ 1])],
        [label, kid, iterations, salt, b""],
    ):
        row = {ACCOUNT: cbor.encode(changed)}
        refused_with("data.not-authentic", DataError, application.login.begin, start.first, row.get)
    row = {ACCOUNT: cbor.encode(["x"])}
    refused_with("format.version", DataError, application.login.begin, start.first, row.get)


@pytest.mark.parametrize("text", [b"", b"md5abc", b"SCRAM-SHA-256$1:AA==$AA==:AA==", b"\xff"])
def test_what_is_no_verifier_is_not_locked(application: Application, text: bytes) -> None:
    """R-SCRAM-1."""
    refused_with("scram.verifier", DataError, application.login.lock, ACCOUNT, Secret(text))


@on_both
def test_verifiers_of_before_open_under_a_new_key(
    world: World, application: Application, tmp_path: Path
) -> None:
    enrolment = enrolled(world, tmp_path, registered(application), alone=True)
    vault = world.vault
    key = add_verifier_key(vault.store, vault.token, vault.config, now=world.clock())
    world.clock.forward(120)
    Scram(WORDS).sign_in(ACCOUNT, enrolment, application)
    fresh = application.login.lock(ACCOUNT, Scram(WORDS).new_verifier())
    assert cbor.decode(fresh)[1] == key.kid


def test_without_a_verifier_key_nothing_is_locked() -> None:
    with world_in_memory(groups={"ward": ("weber",)}) as world:
        login = ScramLogin.of(world.vault, unknown=Secret(bytes(32)))
        refused_with("directory.no-key", CallerError, login.lock, "a", Scram(WORDS).new_verifier())


# --- accounts that do not exist, channel binding, failures ----------------------------------------


@on_both
def test_an_account_that_does_not_exist_looks_like_any_other(
    world: World, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-SCRAM-8."""
    registered(application)
    login, opened = application.login, []
    token = login._locks.token()
    honest = token.open_verifier

    def counting(*given: Any) -> Secret:
        opened.append(given)
        return honest(*given)

    monkeypatch.setattr(token, "open_verifier", counting)

    def shape(name: str) -> tuple[int, bytes, int]:
        opened.clear()
        start = begin(name, os.urandom)
        offer = start.read(application.first(start.first))
        assert len(opened) == 1
        return len(offer.salt), offer.salt, offer.iterations

    known, nobody, again = shape(ACCOUNT), shape("nobody"), shape("nobody")
    assert (known[0], known[2]) == (nobody[0], nobody[2])
    assert nobody == again != shape("no other")
    other = Application(ScramLogin(login._locks, unknown=Secret(b"v" * 32)))
    start = begin("nobody", os.urandom)
    assert start.read(other.first(start.first)).salt != nobody[1]
    refused_with("scram.refused", CallerError, Scram(WORDS).meet, "nobody", application)
    assert application.signed_in == []


BOUND = {
    "both": (BINDING, BINDING, True),
    "neither": (None, None, True),
    "server only": (None, BINDING, False),
    "client only": (BINDING, None, False),
    "another certificate": (ChannelBinding(BINDING.kind, b"of the man between"), BINDING, False),
}


@pytest.mark.parametrize("case", sorted(BOUND))
def test_an_exchange_is_bound_to_the_servers_certificate(
    world: World, application: Application, tmp_path: Path, case: str
) -> None:
    """R-SCRAM-7."""
    ours, theirs, works = BOUND[case]
    enrolment = enrolled(world, tmp_path, registered(application), alone=True)
    application.binding = theirs
    scram = Scram(WORDS)
    if works:
        scram.sign_in(ACCOUNT, enrolment, application, binding=ours)
    else:
        refused_with(
            "scram.refused",
            CallerError,
            scram.sign_in,
            ACCOUNT,
            enrolment,
            application,
            binding=ours,
        )
    assert application.signed_in == [ACCOUNT] * works


@pytest.mark.parametrize(
    "message", ["", "n,,", "n,,n=a", "x,,n=a,r=b", "n,,r=b,n=a", "n,a=b,n=a,r=b"]
)
def test_what_begins_no_exchange_is_refused(application: Application, message: str) -> None:
    """R-SCRAM-7."""
    refused_with("scram.refused", CallerError, application.first, message)


@pytest.mark.parametrize("change", ["proof", "nonce", "replayed", "empty", "twice"])
def test_a_proof_of_another_exchange_is_refused(
    world: World, application: Application, tmp_path: Path, change: str
) -> None:
    """R-SCRAM-7."""
    scram = registered(application)
    enrolment = enrolled(world, tmp_path, scram, alone=True)
    scram.sign_in(ACCOUNT, enrolment, application)
    old, earlier = application.recorded[2], application.session
    salt, count = dict(enrolment.factors)["scram"]
    start = begin(ACCOUNT, os.urandom)
    first = application.first(start.first)
    good = start.prove(first, scram.keys(salt, count), salt=salt, iterations=count).final
    last = good[-5]
    forged = {
        "proof": good[:-5] + ("A" if last != "A" else "B") + good[-4:],
        "nonce": good.replace(",r=", ",r=x"),
        "replayed": old,
        "empty": "",
        "twice": old,
    }[change]
    session = earlier if change == "twice" else application.session
    assert session is not None
    refused_with("scram.refused", CallerError, session.finish, forged)


def test_a_token_that_fails_is_not_called_a_wrong_password(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(application)

    def failing(*_: Any) -> Secret:
        raise EnvError("token.failed", "It failed.")

    monkeypatch.setattr(application.login._locks.token(), "open_verifier", failing)
    start = begin(ACCOUNT, os.urandom)
    refused_with("token.failed", EnvError, application.first, start.first)


def test_an_enrolment_without_scram_signs_nobody_in(
    world: World, application: Application, tmp_path: Path
) -> None:
    key = DeviceKey.create(tmp_path / "ayse.key")
    enrolment = enrolled(world, tmp_path, key)
    refused_with(
        "factor.missing", CallerError, Scram(WORDS).sign_in, ACCOUNT, enrolment, application
    )
    assert application.recorded == []


def test_nothing_of_a_session_shows(application: Application) -> None:
    """R-SECRET-1."""
    registered(application)
    application.first(begin(ACCOUNT, os.urandom).first)
    assert "_server" not in repr(application.session)
    assert "object at" not in repr(application.session)


def test_a_locked_verifier_of_another_length_is_refused(application: Application) -> None:
    """R-SCRAM-6: only one with the token's key could make it."""
    login = application.login
    verifier = Scram(WORDS).new_verifier()
    short = ScramVerifier(
        verifier.iterations, verifier.salt, verifier.stored_key, Secret(bytes(31))
    )
    row = {ACCOUNT: login.lock(ACCOUNT, short)}
    start = begin(ACCOUNT, os.urandom)
    refused_with("scram.verifier", DataError, login.begin, start.first, row.get)
