"""The measurements."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pkcs11

from bench.crowd import fill_group
from bench.figures import Figure, alternate, figure, ratio, timed
from bench.peers import Floor, TokenOnly
from bench.world import RECORD_SIZE, RECORDS, TOKEN_LABEL, World, another_vault, open_all
from twinlock.core.context import Context
from twinlock.core.membership import Policy
from twinlock.server.groups import Group
from twinlock.server.setup import writer_of
from twinlock.server.vault import Vault

MIB: Final = 1 << 20
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rounds: enough for a stable median, or what a minute allows."""

    rounds: int
    seals: int
    crowd: int

    @classmethod
    def quick(cls) -> Effort:
        """Under a minute in all."""
        return cls(rounds=7, seals=150, crowd=10_000)

    @classmethod
    def full(cls) -> Effort:
        """Several minutes."""
        return cls(rounds=41, seals=2000, crowd=10_000)


def measure_all(world: World, effort: Effort, say: Say) -> dict[str, Figure]:
    """Everything that runs on the token in this process."""
    results: dict[str, Figure] = {}
    for name, measure in (
        ("sealing and releasing", seal_and_release),
        ("opening, against the token-only envelope and C", opening),
        ("one value of 1 MiB, against C", bulk),
        ("two threads", threads),
        ("a group of ten thousand", crowd),
    ):
        say(name)
        results |= measure(world, effort)
    return results


def seal_and_release(world: World, effort: Effort) -> dict[str, Figure]:
    """Sealing in software, requesting, and releasing on the member's side."""
    vault, agent = world.vault, world.agent
    context = Context(table="bench", column="value", record=1)
    value = os.urandom(RECORD_SIZE)

    def seal() -> None:
        vault.seal(value, to=world.group, context=context)

    seals = [timed(seal) * 1e6 for _ in range(effort.seals)][effort.seals // 10 :]
    items = world.sealed("rsa-oaep")
    requests, releases = [], []
    for _ in range(effort.rounds + 1):
        requests.append(timed(partial(vault.request, items)))
        bundle = vault.request(items).bind(agent.hello())
        releases.append(timed(partial(agent.release, bundle)))
    per_record = 1e6 / RECORDS
    return {
        "seal.us": figure(seals, "us", "< 150"),
        "request.us_per_record": figure([s * per_record for s in requests[1:]], "us"),
        "release.us_per_record": figure([s * per_record for s in releases[1:]], "us", "< 150"),
    }


def opening(world: World, effort: Effort) -> dict[str, Figure]:
    """Opening 100 records of 200 bytes in one thread, both suites, and what it stands beside."""
    vault, agent = world.vault, world.agent
    token_only = TokenOnly(world.token, RECORDS, RECORD_SIZE)
    items = {suite: world.sealed(suite) for suite in ("rsa-oaep", "token-aes")}
    with ExitStack() as stack:
        floors = {}
        for suite in items:
            floor = stack.enter_context(Floor(world, suite, world.key(suite).kid))
            floor.load(items[suite])
            _same_work(world, items[suite], floor)
            floors[suite] = floor
        binding = stack.enter_context(_binding_session(world))
        seen = alternate(
            {
                "rsa": lambda: open_all(vault, agent, items["rsa-oaep"]),
                "aes": lambda: open_all(vault, agent, items["token-aes"]),
                "only": lambda: timed(token_only.open_all),
                "binding": lambda: timed(lambda: token_only.open_all_by_binding(binding)),
                "floor rsa": floors["rsa-oaep"].open_all,
                "floor aes": floors["token-aes"].open_all,
            },
            effort.rounds,
        )
    per_record = {
        name: figure([s * 1e6 / RECORDS for s in seconds], "us") for name, seconds in seen.items()
    }
    return {
        "open.rsa_oaep.vs_token_only": ratio(seen, "rsa", "only", "<= 1.10"),
        "open.token_aes.vs_token_only": ratio(seen, "aes", "only", "<= 0.35"),
        "open.rsa_oaep.vs_floor": ratio(seen, "rsa", "floor rsa", "<= 1.25"),
        "open.token_aes.vs_floor": ratio(seen, "aes", "floor aes", "<= 1.25"),
        "open.rsa_oaep.vs_token_only_by_binding": ratio(seen, "rsa", "binding"),
        "open.rsa_oaep.us_per_record": per_record["rsa"],
        "open.token_aes.us_per_record": per_record["aes"],
        "token_only.us_per_record": per_record["only"],
        "token_only_by_binding.us_per_record": per_record["binding"],
        "floor.rsa_oaep.us_per_record": per_record["floor rsa"],
        "floor.token_aes.us_per_record": per_record["floor aes"],
    }


def bulk(world: World, effort: Effort) -> dict[str, Figure]:
    """One value of 1 MiB: 65 segments under one DEK."""
    context = Context(table="bench", column="value", record="large")
    sealed = world.vault.seal(os.urandom(MIB), to=world.group, context=context)
    with Floor(world, "bulk", world.key("rsa-oaep").kid) as floor:
        floor.load([(context, sealed)])
        seen = alternate(
            {
                "twinlock": lambda: open_all(world.vault, world.agent, [(context, sealed)]),
                "floor": floor.open_all,
            },
            effort.rounds * 2,
        )
    return {
        "bulk_1mib.vs_floor": ratio(seen, "twinlock", "floor", "<= 1.15"),
        "bulk_1mib.ms": figure([s * 1e3 for s in seen["twinlock"]], "ms"),
    }


def threads(world: World, effort: Effort) -> dict[str, Figure]:
    """Two threads, each opening its own request, against one thread that opens both.

    Beside it, the speed-up of plain hashing: what the machine gives two threads at that time.
    """
    items = [world.sealed("rsa-oaep"), world.sealed("rsa-oaep")]
    # Two connections of one session each: a request is then opened in its own thread.
    with another_vault(world, sessions=1) as first, another_vault(world, sessions=1) as second:
        seen = alternate(
            {
                "one": lambda: sum(open_all(first, world.agent, i) for i in items),
                "two": lambda: _side_by_side((first, second), world, items),
                "cpu one": lambda: timed(_hash) + timed(_hash),
                "cpu two": lambda: _timed_together([_hash, _hash]),
            },
            effort.rounds,
        )
    return {
        "open.threads2_speedup": ratio(seen, "one", "two", ">= 1.8"),
        "machine.threads2_speedup": ratio(seen, "cpu one", "cpu two"),
    }


def crowd(world: World, effort: Effort) -> dict[str, Figure]:
    """The same records for a group of two and for one of ten thousand."""
    large = _second_group(world)
    fill_group(world, large, effort.crowd)
    small_items = world.sealed("rsa-oaep")
    large_items = []
    for context, _ in small_items:
        sealed = world.vault.seal(os.urandom(RECORD_SIZE), to=large, context=context)
        large_items.append((context, sealed))
    seen = alternate(
        {
            "large": lambda: open_all(world.vault, world.agent, large_items),
            "small": lambda: open_all(world.vault, world.agent, small_items),
        },
        effort.rounds,
    )
    return {"open.vs_members_10000": ratio(seen, "large", "small", "<= 1.05")}


def _second_group(world: World) -> Group:
    policy = Policy(outer_suites=world.config.accept)
    for proposal in world.agent.admin.found("crowd", policy, writers=[writer_of(world.config)]):
        world.vault.append(proposal)
    world.agent.follow(world.vault.group_bundle(world.agent.hello()))
    return world.vault.group("crowd")


def _side_by_side(vaults: tuple[Vault, Vault], world: World, items: list[Any]) -> float:
    tasks = []
    for vault, own in zip(vaults, items, strict=True):
        request = vault.request(own)
        tasks.append((vault, request, world.agent.release(request)))
    return _timed_together([partial(v.open, request, release) for v, request, release in tasks])


def _hash() -> None:
    hashlib.pbkdf2_hmac("sha256", b"bench", b"bench", 100_000)


def _timed_together(tasks: list[Callable[[], object]]) -> float:
    barrier = threading.Barrier(len(tasks) + 1)

    def work(task: Callable[[], object]) -> None:
        barrier.wait()
        task()

    workers = [threading.Thread(target=work, args=(task,)) for task in tasks]
    for worker in workers:
        worker.start()

    def run() -> None:
        barrier.wait()
        for worker in workers:
            worker.join()

    return timed(run)


def _same_work(world: World, items: list[Any], floor: Floor) -> None:
    """The floor must decrypt what Twinlock does, or the ratio says nothing."""
    request = world.vault.request(items)
    opened = world.vault.open(request, world.agent.release(request))
    for number in (0, len(items) - 1):
        if floor.show(number) != bytes(32) + opened[number].data().reveal():
            raise RuntimeError("the floor does other work than Twinlock")


@contextmanager
def _binding_session(world: World) -> Iterator[pkcs11.Session]:
    """A session of python-pkcs11 on the module that is already initialised and logged in."""
    library = world.token.module._library
    session = library.get_token(token_label=TOKEN_LABEL).open(rw=True)
    try:
        yield session
    finally:
        session.close()
