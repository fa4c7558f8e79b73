"""Does what a server hands out before an unlock say whether a name is a member's?

Bundles for members and for other names are compared in everything that is not random: size, form,
parameters, whether they repeat, also after a restart, and which hardening key they name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from attacks.factor_accounts import Accounts, free_hashes
from attacks.factor_kept import Kept
from attacks.factor_outsider import told_by_time
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import World
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.factors import Parameters
from twinlock.core.factors.password import take_password_parameters
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.ports import Randomness
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.server import decoys
from twinlock.server.decoys import Decoys
from twinlock.server.members import Members
from twinlock.server.rotation import retire

_ASKED: Final = (
    ("password",),
    ("device-key", "password"),
    ("recovery-code",),
    ("device-key", "scram"),
    ("passphrase",),
    ("passkey",),
)
_MEMBERS: Final = ("ada", "ben")
_NOBODY: Final = ("eli", "zoe", "ulf", "ina")
_NAMES: Final = (*_MEMBERS, *_NOBODY)
_DAY: Final = 86400
_BUNDLE, _PARAMETERS = Members.bundle, Decoys._parameters


def _at_random(_: Decoys, __: str, ___: str) -> Randomness:
    return os.urandom


def _any_key(drawn: Decoys, kind: str, name: str) -> Callable[[Randomness], Parameters]:
    make = _PARAMETERS(drawn, kind, name)
    return (lambda draw: [draw(16), *make(draw)[1:]]) if kind == "password" else make


def _of_members_alone(
    members: Members, name: str, kinds: Iterable[str], enrolment_id: bytes | None = None
) -> bytes:
    if members.by_name(name) is None:
        raise CallerError("member.unknown", "There is no such member.", hint="Register.")
    return _BUNDLE(members, name, kinds, enrolment_id)


def _whole(
    members: Members, name: str, kinds: Iterable[str], enrolment_id: bytes | None = None
) -> bytes:
    member = members.by_name(name)
    if member is None:
        return _BUNDLE(members, name, kinds, enrolment_id)
    return members.everything(member.member_id)


@attack(
    id="factor-bundles",
    claim="accounts",
    attack=16,
    says="enrolments fetched for members and for other names, by every set of factors",
    mutations=[
        Mutation("decoys are drawn anew", lambda: weakened((Decoys, "_stream", _at_random))),
        Mutation("decoys name any key", lambda: weakened((Decoys, "_parameters", _any_key))),
        Mutation(
            "decoys have stronger parameters",
            lambda: weakened((decoys, "MIN_MEMORY_KIB", 128 << 10)),
        ),
        Mutation(
            "names that are nobody's are refused",
            lambda: weakened((Members, "bundle", _of_members_alone)),
        ),
        Mutation(
            "a member's whole bundle needs no unlock", lambda: weakened((Members, "bundle", _whole))
        ),
    ],
    databases=False,
)
def factor_bundles(world: World, trial: Trial) -> None:
    """While a hardening key retires, whoever has not moved from it is told: that is conceded."""
    kept = Kept(Accounts(world))
    with free_hashes():
        password = kept.accounts.password("ada")
        kept.enter("ada", password)
        kept.enter("ben", kept.accounts.password("ben"), kept.accounts.device("ben"))
    before = {(n, asked): _answer(world, n, asked) for n in _NAMES for asked in _ASKED}
    world.restart()
    for asked in _ASKED:
        looks = {n: _look(world, n, asked, before[n, asked]) for n in _NAMES}
        nobody = {looks[name] for name in _NOBODY}
        for name in _MEMBERS:
            with trial.attempt(" and ".join(asked)) as attempt:
                attempt.says(looks[name] not in nobody)
    if not trial.weakened:
        told = told_by_time(lambda name: _answer(world, name, _ASKED[0]), "ada", "eli")
        trial.measure("time of a bundle", told)
    _while_a_key_retires(world, trial)


def _while_a_key_retires(world: World, trial: Trial) -> None:
    asked = {"ada": _ASKED[0], "ben": _ASKED[1], **dict.fromkeys(_NOBODY, _ASKED[0])}
    kids = {name: _kid(world, name, kinds) for name, kinds in asked.items()}
    if kids["ada"] is not None:
        retire(world.vault, kids["ada"], until=world.clock() + _DAY)
    told = {name for name, kinds in asked.items() if not _as_offered(world, name, kinds)}
    claimed = {name for name in _MEMBERS if kids[name] == kids["ada"]}
    trial.loot("while a hardening key retires", claimed=claimed, taken=told)


# --- what an outsider compares -------------------------------------------------------------------


def _answer(world: World, name: str, kinds: Sequence[str]) -> bytes:
    """The server's answer, or how it refuses."""
    try:
        return world.vault.members.bundle(name, kinds)
    except TwinlockError as error:
        return repr((error.code, str(error))).encode()


def _look(world: World, name: str, kinds: Sequence[str], before: bytes) -> Hashable:
    """Everything of a name's answer that is not drawn at random for each name."""
    answer = _answer(world, name, kinds)
    same = answer == before == _answer(world, name, kinds[::-1])
    with suppress(DataError):
        bundle = decode_member_bundle(answer)
        blobs = [decode_enrolment(blob) for blob in bundle.blobs]
        return (
            same,
            len(answer) - len(name),
            len(bundle.signed_list),
            tuple(bundle.statements),
            bundle.member_id == _member_id(_answer(world, name, ("recovery-code",))),
            tuple(_form(blob) for blob in blobs),
            _as_offered(world, name, kinds),
        )
    return same, answer


def _form(enrolment: Enrolment) -> Hashable:
    rows = [(kind, *map(_shown, parameters)) for kind, parameters in enrolment.factors]
    return enrolment.kem, len(enrolment.raw), tuple(rows)


def _shown(parameter: object) -> Hashable:
    """Numbers and texts as they are; of what is drawn, or a key's id, the size."""
    return len(parameter) if isinstance(parameter, bytes) else repr(parameter)


def _member_id(answer: bytes) -> bytes:
    with suppress(DataError):
        return decode_member_bundle(answer).member_id
    return b""


def _kid(world: World, name: str, kinds: Sequence[str]) -> bytes | None:
    """The hardening key that an answer names."""
    with suppress(DataError):
        bundle = decode_member_bundle(_answer(world, name, kinds))
        for enrolment in map(decode_enrolment, bundle.blobs):
            parameters = dict(enrolment.factors).get("password")
            if parameters is not None:
                return take_password_parameters(parameters)[0]
    return None


def _as_offered(world: World, name: str, kinds: Sequence[str]) -> bool:
    """Whether that is the key that anybody of this name is offered."""
    return _kid(world, name, kinds) in (None, world.vault.hardening.offer(name.encode()).kid)
