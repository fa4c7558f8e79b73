"""The demo's password: hardened by the token, so that only who has the token can guess it."""

from __future__ import annotations

from functools import partial
from typing import Final

from twinlock.agent.ways import NewWay
from twinlock.cli.demo_guesser import Guesser, steal
from twinlock.cli.demo_stage import Stage, code_of
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.member_change import Login
from twinlock.server.guess_cost import expected_seconds, measure
from twinlock.server.login import check_login
from twinlock.token.pkcs11_token import Pkcs11Token

_PASSWORD: Final = "tulips in the rain"  # noqa: S105 - a member of the demo
_WORDS: Final = (
    "password",
    "correct horse battery staple",
    "letmein2024",
    "tulips in the sun",
    _PASSWORD,
    "qwertz",
)
"""The thief's list: the right one is in it."""
_SECONDS: Final = 0.4
_BITS: Final = 40
_YEAR: Final = 365.25 * 86400


def sign_in_by_password(stage: Stage) -> None:
    """Make a password a way in, and sign in with it on a computer that knows nothing yet."""
    world = stage.world
    chosen = world.password("lena", _PASSWORD)

    def split(made: Enrolment) -> list[Login]:
        return [Login("split", chosen.new_login(made))]

    world.lena.ways.enrol(
        NewWay([chosen], "password"), logins_of=split, send=world.vault.members.accept
    )
    enrolment, typed = _enrolment(stage), world.password("lena", _PASSWORD)
    (verifier,) = world.vault.members.logins("lena", "split")
    said = code_of(
        lambda: check_login(verifier, enrolment.member_id, typed.login_secret(enrolment))
    )
    with world.agent_of(world.arrive("lena", typed)) as agent:
        equal, total = stage.open_rows(agent, stage.source.rows[:1])
    stage.check(
        "lena's password, hardened by the token, on an empty computer",
        f"login {said}; {equal} of {total} rows equal the source",
        said == "accepted" and equal == total,
    )
    wrong = [
        code_of(partial(world.arrive, name, world.password(name, _WORDS[0])))
        for name in ("lena", "nobody")
    ]
    stage.check(
        "A wrong password of lena; a password for a name that nobody has",
        "; ".join(wrong),
        wrong == ["factor.wrong", "factor.wrong"],
    )


def guess_password(stage: Stage) -> None:
    """Let a thief try a list that has the right password: without the token, then with it."""
    world, enrolment = stage.world, _enrolment(stage)
    loot = world.folder / "loot-passwords"
    steal(world.folder / "store.db", loot).close()
    stolen = b"".join(file.read_bytes() for file in sorted(loot.iterdir()))
    (verifier,) = world.vault.members.logins("lena", "split")
    guesser = Guesser(enrolment, b"", stolen)
    guesser.public = world.vault.directory.hardening_point(guesser.kid)
    with stage.step("A thief guesses lena's password"):
        found = guesser.without_token(_WORDS)
    stage.check(
        f"Thief with the database and a list that has lena's password; no token: "
        f"{len(_WORDS)} guesses",
        f"{guesser.tests} values tested; passwords found: {len(found)}",
        not found and enrolment.raw in stolen and verifier in stolen,
    )
    token = Pkcs11Token.connect(world.config.token_uri, world.pin, sessions=world.config.sessions)
    try:
        token.load_keys(e.key for e in world.vault.directory.entries)
        number = guesser.with_token(_WORDS, lambda point: token.evaluate(guesser.kid, [point])[0])
        with stage.step("A thief guesses at the token's speed"):
            (rate,) = measure(token, guesser.kid, [world.config.sessions], _SECONDS)
    finally:
        token.close()
    years = expected_seconds(_BITS, rate.per_second) / _YEAR
    stage.check(
        "The same thief with the HSM interface: each guess is a call of the token",
        f"found by guess {number}; {rate.per_second:,.0f} guesses/s here: {_BITS} bits take "
        f"{years:,.1f} years on average",
        _WORDS[number - 1] == _PASSWORD and rate.evaluations > 0,
    )


def _enrolment(stage: Stage) -> Enrolment:
    """Return lena's way in by password, as anybody who asks for it by her name gets it."""
    shown = decode_member_bundle(stage.world.vault.members.bundle("lena", {"password"}))
    return decode_enrolment(shown.blobs[0])
