"""Where the lives of the factors take place: a deployment on SoftHSM, and a desktop's keyring."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.keyring.desktop import desktop
from tests.server.factor_things import CONTACTS, TEXT, Scene, new_card
from tests.server.world import DIAGNOSIS, world_on_softhsm
from tests.token.rigs import init_softhsm
from twinlock.core.membership import Policy
from twinlock.core.membership.traits import SCRAM_ALONE, SOLE_PASSKEY
from twinlock.server.setup import add_hardening_key, add_verifier_key


@contextmanager
def deployment(folder: Path) -> Iterator[Scene]:
    """A deployment on SoftHSM, with a ward whose members may be contacts, and a lenient group."""
    uri = init_softhsm(f"factors {os.urandom(4).hex()}")
    with world_on_softhsm(folder, uri, groups={"ward": ("weber", *CONTACTS)}) as world:
        for add in (add_hardening_key, add_verifier_key):
            add(world.vault.store, world.vault.token, world.config, now=world.clock())
        world.clock.forward(120)
        exceptions = frozenset({SCRAM_ALONE, SOLE_PASSKEY})
        rules = Policy(outer_suites=world.config.accept, exceptions=exceptions)
        groups = world.groups["ward"], world.founding.group("lenient", rules, [world.weber.agent])
        records = [world.vault.seal(TEXT, to=to, context=DIAGNOSIS) for to in groups]
        yield Scene(world, *groups, *records, [new_card(), new_card()], new_card())


@contextmanager
def unlocked_keyring(folder: Path) -> Iterator[None]:
    """A desktop session whose keyring is unlocked, for those who keep a key there."""
    import keyring.core
    from keyring.backends import SecretService

    with desktop(folder) as begun, pytest.MonkeyPatch.context() as here:
        for name, value in begun.env.items():
            here.setenv(name, value)
        here.setattr(keyring.core, "_keyring_backend", SecretService.Keyring())
        yield
