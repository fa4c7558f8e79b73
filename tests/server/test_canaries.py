"""Secrets are driven through everything that speaks, and are found in nothing that was said.

Every 32 random bytes that were drawn (DEKs, release keys, shares, seeds, session keys), the PIN, a
passphrase and the plaintext are looked for in reprs, errors, logs, messages and the database. A
trace is a secret's first bytes in any usual writing, so that a shortened one is found too.
"""

from __future__ import annotations

import base64
import copy
import gc
import json
import logging
import os
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.server import forging
from tests.server.world import DIAGNOSIS, LETTER, PATIENT, found_on_softhsm, world_on_softhsm
from tests.token.rigs import PIN, SOFTHSM, init_softhsm
from twinlock import (
    Agent,
    AllOf,
    Context,
    DeviceKey,
    EnvError,
    Passphrase,
    SealedFile,
    TwinlockError,
    Vault,
)
from twinlock.agent.member import create_member
from twinlock.core.envelope import decode_value
from twinlock.core.membership import parse_invitation
from twinlock.core.secret import Secret, SecretText
from twinlock.integrations.sqlalchemy import SealedUseError
from twinlock.server.setup import deployment_card, read_writer_key
from twinlock.testing import MemoryDeployment, memory_vault
from twinlock.testing.memory_opening import BornDek, MemoryOpening

PLAINTEXT = "kryptonite-canary: atrial fibrillation"
ALLERGY = b"\x00canary-bytes\xff"
PASSPHRASE = "canary battery staple"
HEAD = 8
"""Bytes of a secret that are enough to recognise it."""


def traces(secret: bytes) -> set[str]:
    """The writings under which the beginning of a secret might appear."""
    head = secret[:HEAD]
    return {
        head.hex(),
        head.hex().upper(),
        head.hex(":"),
        repr(head)[2:-1],
        repr(head)[2:-1].replace("'", "\\'"),
        repr(list(head))[1:-1],
        base64.b64encode(secret[:9])[:12].decode(),
        base64.urlsafe_b64encode(secret[:9])[:12].decode(),
        base64.b32encode(secret[:10])[:16].decode(),
        str(int.from_bytes(secret, "big")),
        head.decode("latin-1"),
    }


@dataclass(repr=False)
class Canaries:
    """Every secret of a run, and a search for them."""

    drawn: list[bytes] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)
    public: set[bytes] = field(default_factory=set)

    def randomness(self, size: int) -> bytes:
        value = os.urandom(size)
        if size == 32:
            self.drawn.append(value)
        return value

    @property
    def secrets(self) -> set[bytes]:
        return (set(self.drawn) | self.known) - self.public

    def found_in(self, text: str | bytes) -> list[str]:
        if isinstance(text, bytes):
            return [s[:4].hex() for s in self.secrets if s[:HEAD] in text]
        return [s[:4].hex() for s in self.secrets if any(t in text for t in traces(s))]


@dataclass
class Scene:
    deployment: MemoryDeployment
    canaries: Canaries

    @property
    def vault(self) -> Vault:
        return self.deployment.vault


@pytest.fixture
def scene() -> Iterator[Scene]:
    canaries = Canaries()
    canaries.known = {s.encode() for s in (PLAINTEXT, PASSPHRASE)} | {ALLERGY}
    with memory_vault(randomness=canaries.randomness) as deployment:
        yield Scene(deployment, canaries)


def forget_nonces(scene: Scene) -> None:
    """An agent's session nonce is 32 random bytes too, and public."""
    for member in scene.deployment.members.values():
        scene.canaries.public |= {s.nonce for s in member.agent._state.sessions}


def everything() -> Iterator[str]:
    """What every living object of the project shows of itself."""
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("twinlock") and not isinstance(thing, type):
            for say in (repr, str, format, ascii):
                # A sealed attribute of a mapped class refuses all but repr.
                with suppress(SealedUseError):
                    yield f"{kind.__qualname__}: {say(thing)}"


def assert_silent(scene: Scene, said: Iterator[str] | list[str]) -> int:
    forget_nonces(scene)
    patterns = {t: s for s in scene.canaries.secrets for t in traces(s)}
    count = 0
    for text in said:
        count += 1
        leaked = [s[:4].hex() for trace, s in patterns.items() if trace in text]
        assert not leaked, f"{text[:200]} ... shows {leaked}"
    return count


def full_text(error: BaseException) -> str:
    """An error as a log would have it: message, hint, notes, causes, attributes."""
    chain, seen = [error], {id(error)}
    for each in chain:
        for cause in (each.__cause__, each.__context__):
            if cause is not None and id(cause) not in seen:
                seen.add(id(cause))
                chain.append(cause)
    described = [f"{each!r} {each} {vars(each)} {each.args}" for each in chain]
    return "\n".join([*traceback.format_exception(error), *described])


# --- the search itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda s: f"key={s.hex()}",
        lambda s: f"key={s!r}",
        lambda s: f"{s[:12]!r}...",
        lambda s: base64.b64encode(s).decode(),
        lambda s: str(list(s)),
        lambda s: str(int.from_bytes(s, "big")),
        lambda s: s.hex(":"),
    ],
)
def test_the_search_finds_a_secret_in_every_usual_writing(
    write: Callable[[bytes], str],
) -> None:
    secret = os.urandom(32)
    canaries = Canaries(known={secret})
    assert canaries.found_in(write(secret))
    assert canaries.found_in(b"x" + secret + b"y")
    assert not canaries.found_in(write(os.urandom(32)))


def test_the_draws_are_the_secrets_that_they_are_taken_for(scene: Scene) -> None:
    scene.vault.seal(PLAINTEXT, to=scene.deployment.groups["cardiology"], context=DIAGNOSIS)
    agent, writer = scene.deployment.kim.agent, scene.deployment.founding.writer
    held = [*agent._group_keys._seeds.values(), agent._unlocked().seed]
    assert held
    assert {s.reveal() for s in held} <= scene.canaries.secrets
    assert repr(writer).startswith("SigningKey(kid=")


# --- objects -------------------------------------------------------------------------------------


def test_no_object_shows_a_secret_at_any_moment_of_an_opening(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, groups = scene.vault, scene.deployment.groups
    both = AllOf(groups["cardiology"], groups["data-office"])
    counted: list[int] = []
    open_many, encrypt = MemoryOpening.open_many, BornDek.encrypt

    def watched_open(self, items):
        counted.append(assert_silent(scene, everything()))
        return open_many(self, items)

    def watched_encrypt(self, *arguments):
        counted.append(assert_silent(scene, everything()))
        return encrypt(self, *arguments)

    monkeypatch.setattr(MemoryOpening, "open_many", watched_open)
    monkeypatch.setattr(BornDek, "encrypt", watched_encrypt)
    value = vault.seal(PLAINTEXT, to=[groups["cardiology"], both], context=DIAGNOSIS)
    row = vault.seal_row({"a": ALLERGY}, to=both, context=PATIENT, suite="token-aes")
    request = vault.request([(DIAGNOSIS, value), (PATIENT, row)], purpose="canary round")
    bundle = request.bind(scene.deployment.kim.hello())
    assisting = request.assist(scene.deployment.officer.hello(), bundle)
    share = scene.deployment.officer.agent.help_with(assisting)
    release = scene.deployment.kim.release(bundle, shares=[share])
    opened = vault.open(request, release)
    texts = [o.text().reveal() if o.columns == ("diagnosis",) else None for o in opened]
    assert texts[0] == PLAINTEXT
    assert opened[1].data("a").reveal() == ALLERGY
    counted.append(assert_silent(scene, everything()))
    assert len(counted) == 3
    assert min(counted) > 100


def test_secrets_do_not_leave_by_accident() -> None:
    for secret in (Secret(b"canary"), SecretText("canary")):
        for use in (
            lambda s: pickle.dumps(s),
            lambda s: copy.copy(s),
            lambda s: copy.deepcopy(s),
            lambda s: json.dumps(s),
            lambda s: bytes(s),
            lambda s: hash(s),
            lambda s: bool(s),
            lambda s: s == "canary",
            lambda s: s == b"canary",
            lambda s: s + s,
        ):
            with pytest.raises(TypeError):
                use(secret)
        for shown in (f"{secret}", f"{secret!r}", f"{secret:>40}", str([secret])):
            assert "canary" not in shown


class Leaky:
    """An object of the project that shows what it holds."""

    __module__ = "twinlock.leaky"

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Leaky({self.secret!r})"


def test_an_object_that_shows_its_secret_is_found(scene: Scene) -> None:
    leaky = Leaky(scene.canaries.drawn[0])
    with pytest.raises(AssertionError, match="Leaky"):
        assert_silent(scene, everything())
    leaky.secret = b"public"
    assert_silent(scene, everything())


# --- errors --------------------------------------------------------------------------------------


def provoke(scene: Scene, tmp_path: Path) -> Iterator[BaseException]:
    """Errors of every family, raised while secrets are at hand."""
    vault, groups = scene.vault, scene.deployment.groups
    kim, ward = scene.deployment.kim, groups["cardiology"]

    def caught(work: Callable[[], object]) -> BaseException:
        with pytest.raises((TwinlockError, TypeError, ZeroDivisionError)) as info:
            work()
        return info.value

    def asked(stored: bytes, context: Context = DIAGNOSIS):
        return vault.request([(context, stored)])

    good = vault.seal(PLAINTEXT, to=ward, context=DIAGNOSIS).to_bytes()
    aes = vault.seal(PLAINTEXT, to=ward, context=DIAGNOSIS, suite="token-aes").to_bytes()
    for stored in (good, aes):
        head, sealed = decode_value(stored)
        [lock] = head.header.locks
        bad_lock = replace(lock, sealed=forging.flipped(lock.sealed, -1))
        yield caught(
            lambda s=stored, b=bad_lock: kim.release(asked(forging.with_header(s, locks=(b,))))
        )
        for forged in (
            forging.with_outer(stored, forging.flipped(head.outer, 7)),
            forging.with_field(stored, ciphertext=forging.flipped(sealed.ciphertext, 40)),
            stored[:-1],
        ):
            request = asked(forged)
            try:
                [opened] = vault.open(request, kim.release(request))
                yield caught(opened.text)
            except TwinlockError as error:
                yield error
    request = vault.request(
        [(PATIENT, vault.seal_row({"a": ALLERGY, "b": PLAINTEXT}, to=ward, context=PATIENT))]
    )
    release = kim.release(request)
    [opened] = vault.open(request, release)
    yield caught(lambda: opened.text("a"))
    yield caught(lambda: opened.data("c"))
    yield caught(lambda: opened.data("b") == PLAINTEXT)
    yield caught(lambda: vault.open(request, release))
    yield caught(lambda: vault.seal(bytearray(PLAINTEXT.encode()), to=ward, context=DIAGNOSIS))
    yield caught(lambda: vault.seal(PLAINTEXT * 500_000, to=ward, context=DIAGNOSIS))
    yield caught(lambda: vault.seal(PLAINTEXT, to=[], context=DIAGNOSIS))
    yield from _member_errors(scene, tmp_path, caught)
    yield from _failures(scene, tmp_path, caught)


def _member_errors(scene: Scene, tmp_path: Path, caught) -> Iterator[BaseException]:
    deployment = scene.deployment
    card = deployment_card(deployment.config)
    factors = [DeviceKey.create(tmp_path / "ada.key", randomness=scene.canaries.randomness)]
    factors.append(Passphrase(PASSPHRASE))
    create_member("ada", factors, deployment=card, randomness=scene.canaries.randomness)
    yield caught(lambda: Agent.unlock("ada", factors[0], Passphrase(PASSPHRASE + "!")))
    yield caught(lambda: Agent.unlock("ada", Passphrase(PASSPHRASE), home=tmp_path))
    yield caught(
        lambda: create_member(
            "bo", [Passphrase(PASSPHRASE + "\x00")], deployment=card, home=tmp_path
        )
    )
    text = (tmp_path / "ada.key").read_text()
    for damaged in (text[:-4] + "AAA\n", text[:-4], text + "\u00e4\n", text + "more\n"):
        (tmp_path / "ada.key").write_text(damaged)
        yield caught(lambda: Agent.unlock("ada", *factors))
    invitation = deployment.weber.agent.admin.invite(deployment.groups["cardiology"].group_id)
    scene.canaries.known.add(invitation.secret.reveal())
    written = invitation.to_text().reveal()
    yield caught(lambda: parse_invitation(written[:-3] + "zzz"))
    yield caught(
        lambda: deployment.weber.agent.admin.add(
            deployment.groups["emergency"].group_id, deployment.kim.agent.card(invitation)
        )
    )
    state = tmp_path / "ada.member"
    state.write_bytes(forging.flipped(state.read_bytes(), -1))
    (tmp_path / "ada.key").write_text(text)
    yield caught(lambda: Agent.unlock("ada", *factors))


def _failures(scene: Scene, tmp_path: Path, caught) -> Iterator[BaseException]:
    vault, kim = scene.vault, scene.deployment.kim
    ward = scene.deployment.groups["cardiology"]

    def broken(*_: object, **__: object) -> object:
        raise EnvError("token.device-error", "The token failed.", hint="Look at it.")

    def fails(patched: pytest.MonkeyPatch, owner: object, name: str) -> BaseException:
        request = vault.request([(DIAGNOSIS, vault.seal(PLAINTEXT, to=ward, context=DIAGNOSIS))])
        release = kim.release(request)
        with patched.context() as inner:
            inner.setattr(owner, name, broken)
            return caught(lambda: vault.open(request, release))

    patched = pytest.MonkeyPatch()
    yield fails(patched, MemoryOpening, "_unwrap_dek")
    yield fails(patched, MemoryOpening, "_unlock_outer")
    path = tmp_path / "letter.twl"
    vault.seal_file([PLAINTEXT.encode() * 2000], path, to=ward, context=LETTER)
    request = vault.request([(LETTER, SealedFile(path))])
    release = kim.release(request)
    path.write_bytes(forging.flipped(path.read_bytes(), path.stat().st_size - 100))
    yield caught(lambda: vault.open_file(request, release, tmp_path / "plain"))
    request = vault.request([(DIAGNOSIS, vault.seal(PLAINTEXT, to=ward, context=DIAGNOSIS))])
    release = kim.release(request)
    forging.execute(scene, "DROP TABLE twinlock_audit_lines", check=False)
    yield caught(lambda: vault.open(request, release))


def test_no_error_shows_a_secret(scene: Scene, tmp_path: Path) -> None:
    errors = list(provoke(scene, tmp_path))
    assert len({getattr(e, "code", type(e).__name__) for e in errors}) > 12
    assert assert_silent(scene, [full_text(error) for error in errors]) == len(errors)


# --- logs and other outputs ----------------------------------------------------------------------


def test_no_log_line_warning_or_output_shows_a_secret(
    scene: Scene,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("", "sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "alembic", "twinlock"):
        caplog.set_level(logging.DEBUG, logger=name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for error in provoke(scene, tmp_path):
            logging.getLogger("application").error("failed", exc_info=error)
            logging.getLogger("application").error("failed: %s %r", error, error)
    assert any(record.name.startswith("sqlalchemy") for record in caplog.records)
    output = capfd.readouterr()
    said = [caplog.text, output.out, output.err, *(str(w.message) for w in warned)]
    assert_silent(scene, said)


# --- messages and storage ------------------------------------------------------------------------


def test_no_message_between_the_parties_holds_a_secret(scene: Scene) -> None:
    vault, groups, deployment = scene.vault, scene.deployment.groups, scene.deployment
    both = AllOf(groups["cardiology"], groups["data-office"])
    value = vault.seal(PLAINTEXT, to=both, context=DIAGNOSIS)
    request = vault.request([(DIAGNOSIS, value)], purpose="round")
    hello = deployment.kim.hello()
    bundle = request.bind(hello)
    assisting = request.assist(deployment.officer.hello(), bundle)
    share = deployment.officer.agent.help_with(assisting)
    release = deployment.kim.release(bundle, shares=[share])
    proposal = deployment.weber.agent.admin.new_epoch(groups["cardiology"].group_id)
    messages = [
        value.to_bytes(),
        hello,
        bundle,
        assisting,
        share,
        release.to_bytes(),
        proposal.encode(),
        vault.group_bundle(hello),
        deployment.kim.agent.card(),
    ]
    vault.open(request, release)
    forget_nonces(scene)
    for message in messages:
        assert scene.canaries.found_in(message) == []


def test_neither_database_nor_pins_nor_configuration_hold_a_secret(
    softhsm_uri: str, tmp_path: Path
) -> None:
    canaries = Canaries(known={PLAINTEXT.encode(), PIN.reveal()})
    groups = {"cardiology": ["weber", "kim"]}
    with world_on_softhsm(tmp_path, softhsm_uri, groups=groups) as world:
        world.vault._randomness = canaries.randomness
        world.vault._sealing._randomness = canaries.randomness
        for suite in ("rsa-oaep", "token-aes"):
            request = world.asked_for(PLAINTEXT, suite)
            assert world.opened(request)[0].ok
        for member in world.members.values():
            seeds = member.agent._group_keys._seeds.values()
            canaries.known |= {s.reveal() for s in seeds} | {member.agent._unlocked().seed.reveal()}
        assert read_writer_key(world.config.writer_key) is not None
    assert len(canaries.secrets) > 6
    for name in ("store.db", "pins", "twinlock.toml", "weber.member", "kim.member"):
        assert canaries.found_in((tmp_path / name).read_bytes()) == [], name


def test_a_pin_is_in_no_error_and_no_object(softhsm_folder: Path, tmp_path: Path) -> None:
    # A token of its own: one that is logged in already takes any PIN (PKCS#11 v3.1, 5.6.8).
    uri = init_softhsm("pin canaries")
    config, _ = found_on_softhsm(tmp_path, uri)
    wrong = b"canary-of-a-pin"
    canaries = Canaries(known={wrong, PIN.reveal()})
    said = []
    for pin, address in (
        (wrong, uri),
        (wrong, uri),
        (wrong + b"\nmore", uri),
        (wrong, f"pkcs11:token=absent?module-path={SOFTHSM}"),
    ):
        (tmp_path / "pin").write_bytes(pin)
        with Vault.connect(replace(config, token_uri=address)) as vault:
            with pytest.raises(TwinlockError) as caught:
                _ = vault.token
            said.append(full_text(caught.value))
    (tmp_path / "pin").write_bytes(PIN.reveal())
    with Vault.connect(config) as vault:
        assert vault.token.serial
        said += everything()
    assert len(said) > 100
    for text in said:
        assert canaries.found_in(text) == [], text[:200]
