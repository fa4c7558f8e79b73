"""Building a world: a deployment is founded, people come and one goes, records are sealed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attacks.people import Insider
from attacks.powers import DatabaseWriter
from attacks.world import PASSPHRASE, SUITES, WITH_PASSPHRASE, Clock, TokenPlace, World, connect
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import Policy, Role
from twinlock.server import setup
from twinlock.server.config import Config, accept_suites
from twinlock.server.groups import Group
from twinlock.store.sql import SqlStore

HARDENING_KEYS: Final = 2
"""Two buckets, so that a password can move from one key to another."""


@contextmanager
def build(token_place: TokenPlace, store_url: str) -> Iterator[World]:
    """Build a world on an empty store; it is gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="world.", dir=token_place.folder))
    world = _found(folder, token_place, store_url.format(folder=folder))
    try:
        _populate(world)
        world.reset()
        yield world
    finally:
        world.close()


def _found(folder: Path, token_place: TokenPlace, store_url: str) -> World:
    draft = Config(
        folder=folder,
        deployment_id=b"",
        identity=b"",
        production=False,
        token_uri=token_place.uri,
        token_profile=None,
        token_reserved=None,
        pin_file=token_place.pin_file,
        pin_env=None,
        sessions=4,
        store_url=store_url,
        seal_suite="rsa-oaep",
        accept=accept_suites(list(SUITES)),
        writer_name="clinic application",
        writer_key=folder / "writer.key",
        pins=folder / "pins",
    )
    with SqlStore.connect(draft.store_url, create=True) as store:
        token = setup.connect_token(draft)
        suites = setup.outer_suites(SUITES, token)
        config = setup.found_deployment(draft, store, token, suites=suites, rsa_bits=2048)
        for add in (*(setup.add_hardening_key,) * HARDENING_KEYS, setup.add_verifier_key):
            add(store, token, config, now=int(time.time()))
        token.close()
    setup.create_writer_key(config.writer_key)
    (folder / "files").mkdir()
    clock = Clock()
    database = DatabaseWriter(config.store_url, folder / "files")
    return World(folder, config, token_place, database, clock, connect(config, clock))


def _populate(world: World) -> None:
    for name in ("weber", "kim", "eve", "tom", "olga", "pia"):
        _create(world, name)
    policy = Policy(outer_suites=world.config.accept)
    group(world, "ward", policy, "weber", "kim", "eve", "tom")
    group(world, "emergency", policy, "weber", "kim")
    group(world, "data-office", policy, "olga", "pia")
    # What Tom could open is sealed while he is there; then he goes and keeps what he has.
    for place in world.places:
        if place.while_tom:
            world.database.put(place, world.seal(place))
    world.removed = Insider.of(world, "tom")
    weber = world.agents["weber"]
    world.vault.append(weber.admin.remove(world.groups["ward"].group_id, world.removed.member_id))
    world.follow("weber", "kim", "eve")
    for place in world.places:
        if not place.while_tom:
            world.database.put(place, world.seal(place))


def _create(world: World, name: str) -> None:
    home = world.folder / "devices" / name
    factors: list[EnrollableFactor] = [DeviceKey.create(home / "device.key")]
    if name in WITH_PASSPHRASE:
        factors.append(Passphrase(PASSPHRASE))
    card = setup.deployment_card(world.config)
    create_member(name, factors, deployment=card, home=home)
    world.agents[name] = world.unlock(name)


def group(world: World, name: str, policy: Policy, admin: str, *others: str) -> Group:
    """Found a group as its members do: cards compared in person, invitations handed over."""
    founder = world.agents[admin]
    cards = [(world.agents[other].card(), Role.MEMBER) for other in others]
    writers = [setup.writer_of(world.config)]
    for proposal in founder.admin.found(name, policy, others=cards, writers=writers):
        world.vault.append(proposal)
    world.follow(admin)
    founded = world.vault.group(name)
    for other in others:
        world.agents[other].card(founder.admin.invite(founded.group_id))
        world.follow(other)
    world.groups[name] = founded
    return founded
