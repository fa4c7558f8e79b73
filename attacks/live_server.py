"""A live server in foreign hands, against real agents: its own keys, records nobody asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.hsm_loot import Target, targets
from attacks.live_forger import Forger, SoftIdentity, changed, hello_of, lost, request_of
from attacks.live_template import ONE_KEY
from attacks.world import SUITES, World
from twinlock.agent import agent, examine
from twinlock.agent.answer import Answerer
from twinlock.agent.budget import BudgetLedger
from twinlock.agent.examine import AskedRecord
from twinlock.core import locks, statements
from twinlock.core.cbor import decode_labelled
from twinlock.core.envelope import GroupLock, ShareLock, decode_header, new_header
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import TransportKey
from twinlock.core.request import RequestBundle
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement
from twinlock.errors import DataError, not_authentic

_LOCK_INFO: Final = locks.lock_info
_WRONG_CONTEXT: Final = "data.not-authentic:HPKE"


def _believe(statement: Statement, **_: Any) -> TransportKey:
    items = decode_labelled(statement.raw, "twinlock/v1/transport", 8)
    kid, public, oaep_hash = items[2:5]
    return TransportKey(kid, public, oaep_hash)


def _no_context(
    core: bytes, _: bytes, target: GroupTarget, index: int, count: int, rc: bytes
) -> bytes:
    return _LOCK_INFO(core, b"", target, index, count, rc)


LOCKS_WITHOUT_CONTEXT: Final = Mutation(
    "locks are not bound to the context",
    lambda: weakened((locks, "lock_info", _no_context)),
    rebuild=True,
)


@attack(
    id="live-own-transport-key",
    claim="live-own-agent",
    attack=19,
    says="the attacker's own transport key: not stated, stated by his identity, by the real one",
    mutations=[
        Mutation(
            "agents do not check the transport key's statement",
            lambda: weakened(
                (examine, "verify_transport", _believe), (examine, "_check_transport", nothing)
            ),
        ),
        Mutation(
            "agents compare no identity",
            lambda: weakened(
                (statements, "equal", lambda *_: True), (examine, "_check_tokens", nothing)
            ),
        ),
        ONE_KEY,
    ],
    databases=False,
)
def live_own_transport_key(world: World, trial: Trial) -> None:
    """With the HSM interface he has the real identity key sign; then he gets what is released."""
    forger, soft = Forger(world), SoftIdentity()
    everything = targets(world)
    own_directory = soft.directory(world.config.deployment_id, world.clock())
    for suite in SUITES:
        place = world.place(f"first-{suite}")
        raw, hello = hello_of(world, "kim")
        genuine = forger.bundle(raw, place)
        forged = forger.redirected(raw, soft.sign, place)
        unsigned = Statement(forger.statement(hello.agent_nonce, soft.sign).raw, bytes(64))
        for bundle in (
            forged,
            replace(forged, transport=unsigned),
            replace(forged, transport=genuine.transport),
            replace(genuine, transport=forged.transport),
        ):
            with trial.attempt(
                "a transport key that the token did not state",
                "data.not-authentic:signature",
                "transport.replaced",
            ) as attempt:
                attempt.says(_gets(forger, bundle, everything) != set())
        with trial.attempt("an identity that nobody pinned", "directory.identity") as attempt:
            bundle = replace(forged, directory=own_directory)
            attempt.says(_gets(forger, bundle, everything) != set())
        with trial.attempt("more than what was released") as attempt:
            bundle = forger.redirected(raw, forger.hsm_signs, place)
            attempt.says(_gets(forger, bundle, everything) != {place.name})


def _gets(forger: Forger, bundle: RequestBundle, everything: list[Target]) -> set[str]:
    release = forger.world.agents["kim"].release(bundle.encode())
    return lost(forger.keys_in(release.raw), everything)


@attack(
    id="live-unasked-records",
    claim="live-own-agent",
    attack=19,
    says="records that the user did not open, hidden among one that he did",
    mutations=[
        Mutation(
            "agents release whatever is asked for",
            lambda: weakened((agent, "check_expected", nothing)),
        ),
        Mutation("agents show no records", lambda: weakened((examine, "_line", lambda _: ""))),
        Mutation("agents count no records", lambda: weakened((BudgetLedger, "spend", nothing))),
        ONE_KEY,
    ],
    databases=False,
)
def live_unasked_records(world: World, trial: Trial) -> None:
    """With ``expect`` they are refused. Without, they are shown, counted, lost, and no others."""
    forger, everything = Forger(world), targets(world)
    for suite in SUITES:
        names = ("first", "other-record", "row", "scan", "ward-only")
        asked, *more = [world.place(f"{name}-{suite}") for name in names]
        raw, _ = hello_of(world, "kim")
        bundle = forger.redirected(raw, forger.hsm_signs, asked, *more).encode()
        kim = world.agents["kim"]
        with trial.attempt("records that were not expected", "request.unexpected") as attempt:
            release = kim.release(bundle, expect=[asked.context])
            attempt.says(lost(forger.keys_in(release.raw), everything) > {asked.name})
        before = sum(kim.status().released_this_hour.values())
        text = kim.describe(bundle)
        release = kim.release(bundle)
        loot = lost(forger.keys_in(release.raw), everything)
        after = sum(kim.status().released_this_hour.values())
        with trial.attempt("released and not shown") as attempt:
            shown = [f"{p.context.table} {p.context.record!r}" in text for p in (asked, *more)]
            attempt.says(not all(shown) or f"Records: {len(names)}" not in text)
        with trial.attempt("released and not counted") as attempt:
            attempt.says(after - before != len(names))
        with trial.attempt("more than what was released") as attempt:
            attempt.says(loot != {place.name for place in (asked, *more)})


def _any_key(
    answerer: Answerer, record: AskedRecord, lock: GroupLock | ShareLock, index: int, count: int
) -> Secret:
    """Try every group's key; what the lock says of its group is not believed and not bound."""
    for group in answerer.request.groups.values():
        for epoch in group.state.epochs:
            try:
                key = answerer.group_keys.key(group, epoch)
                info = locks.lock_info(
                    record.core.raw,
                    record.context_raw,
                    GroupTarget(group.state.group_id, epoch, key.kem, key.public),
                    index,
                    count,
                    record.header.commitment,
                )
                return key.open(lock.sealed, info)
            except DataError:
                continue
    raise not_authentic("no group's key opens this lock")


@attack(
    id="live-other-group",
    claim="live-own-agent",
    attack=19,
    says="a lock shown as another group's, whose policy and budget it would then count against",
    mutations=[
        Mutation(
            "agents open a lock with whatever key fits",
            lambda: weakened((Answerer, "_open", _any_key)),
        )
    ],
    databases=False,
)
def live_other_group(world: World, trial: Trial) -> None:
    """Ward and emergency are both Kim's; the record's lock of the ward is called emergency's."""
    forger = Forger(world)
    for suite in SUITES:
        place = world.place(f"ward-only-{suite}")
        raw, _ = hello_of(world, "kim")
        both = forger.redirected(raw, forger.hsm_signs, place, world.place(f"first-{suite}"))
        item, _ = request_of(both).items
        header = decode_header(item.header)
        (lock,) = header.locks
        if not isinstance(lock, GroupLock):
            raise TypeError(f"{place.name} has another lock")
        other = world.vault.group_state(world.groups["emergency"])
        epoch = other.current_epoch.number
        renamed = replace(lock, group_id=other.group_id, epoch=epoch)
        shown = new_header(header.commitment, header.outer_suite, header.wrapping_kid, (renamed,))
        forged = changed(both, items=(replace(item, header=shown.raw),))
        with trial.attempt("another group's name on a lock", "data.not-authentic") as attempt:
            release = world.agents["kim"].release(forged.encode())
            attempt.says(bool(lost(forger.keys_in(release.raw), targets(world, [place]))))


@attack(
    id="live-other-context",
    claim="live-own-agent",
    attack=19,
    says="a harmless context shown while another record is asked for",
    mutations=[LOCKS_WITHOUT_CONTEXT],
    databases=False,
)
def live_other_context(world: World, trial: Trial) -> None:
    """Every other record of the reader's under the context that the user opened."""
    forger = Forger(world)
    for suite in SUITES:
        shown = world.place(f"first-{suite}")
        raw, _ = hello_of(world, "kim")
        for name in ("other-record", "other-tenant", "versioned", "ward-only", "scan", "tom-time"):
            wanted = world.place(f"{name}-{suite}")
            bundle = forger.redirected(raw, forger.hsm_signs, wanted)
            (item,) = request_of(bundle).items
            context = shown.context.encode(world.config.deployment_id)
            forged = changed(bundle, items=(replace(item, context=context),))
            with trial.attempt("another context", _WRONG_CONTEXT) as attempt:
                release = world.agents["kim"].release(forged.encode(), expect=[shown.context])
                keys = forger.keys_in(release.raw)
                attempt.says(bool(lost(keys, targets(world, [wanted]))))
