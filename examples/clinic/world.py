"""The demo's world in a folder: a SoftHSM token, a deployment, groups, members, the database.

``build`` makes it; ``reopen`` finds it again, so that a demo goes on where it was stopped.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from examples.clinic.people import CLICK_EACH, PEOPLE, DemoPerson
from examples.clinic.serving import AGENT_HOST
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.cli.softhsm import make_softhsm_token
from twinlock.core.membership import Policy
from twinlock.errors import CallerError
from twinlock.server.config import Config, accept_suites
from twinlock.server.setup import (
    add_hardening_key,
    connect_token,
    create_writer_key,
    deployment_card,
    found_deployment,
    outer_suites,
    write_config,
    writer_of,
)
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore

SUITE: Final = "token-aes"
"""Sealed and accepted is ``token-aes`` alone. Opening a page costs one private-key operation for
its release instead of one more for every record, which is several times faster; the DEK is born
in the token; and nobody seals with public keys alone. The price: sealing needs the token."""

_MARK: Final = "clinic-demo"
_HOME: Final = "members"
_SQLITE: Final = (("+aiosqlite", "clinic"), ("", "twinlock"))
"""Two files, so that the clinic's writes and Twinlock's never wait for one another."""


@dataclass(frozen=True, slots=True)
class ClinicWorld:
    """Where everything lies. ``database`` is an SQLAlchemy URL for an async driver."""

    folder: Path
    database: str

    @property
    def config(self) -> Path:
        """The deployment's configuration file."""
        return self.folder / "twinlock.toml"

    @property
    def home(self) -> Path:
        """The folder with each member's two files, ``NAME.key`` and ``NAME.member``."""
        return self.folder / _HOME


def postgresql_url(url: str) -> str:
    """Return a PostgreSQL URL with the driver that is sync and async in one.

    Raises CallerError ``clinic.database``.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise CallerError(
            "clinic.database",
            f"The demo does not run on {parsed.get_backend_name()}.",
            hint="Give a postgresql:// URL, or none for SQLite.",
        )
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def exists(folder: Path) -> bool:
    """Say if the folder holds a finished world."""
    return (folder / _MARK).exists()


def reopen(folder: Path) -> ClinicWorld:
    """Return the world in a folder, and point SoftHSM at its token."""
    os.environ["SOFTHSM2_CONF"] = str((folder / "softhsm2.conf").resolve())
    return ClinicWorld(folder.resolve(), (folder / _MARK).read_text(encoding="utf-8").strip())


def remove(folder: Path) -> None:
    """Remove a world. Raises CallerError ``clinic.folder`` when the folder is something else."""
    if folder.exists() and not (folder / "softhsm2.conf").exists() and any(folder.iterdir()):
        raise CallerError(
            "clinic.folder",
            f"{folder} is not a folder of this demo, so it is not removed.",
            hint="Name another with --folder.",
        )
    shutil.rmtree(folder, ignore_errors=True)


def found(folder: Path, database: str | None) -> ClinicWorld:
    """Make token, deployment, members and groups; ``finish`` marks the world as whole."""
    folder.mkdir(parents=True, mode=0o700)
    folder = folder.resolve()
    if database is None:
        url, store = (f"sqlite{driver}:///{folder}/{name}.db" for driver, name in _SQLITE)
    else:
        url = store = postgresql_url(database)
    config = _found_deployment(folder, store)
    with Vault.connect(config) as vault:
        for person in PEOPLE:
            _enter(person, vault, config)
    return ClinicWorld(folder, url)


def finish(world: ClinicWorld) -> None:
    """Mark the world as whole, with the database that belongs to it."""
    mark = world.folder / _MARK
    mark.write_text(world.database + "\n", encoding="utf-8")
    mark.chmod(0o600)


def _found_deployment(folder: Path, store_url: str) -> Config:
    token = make_softhsm_token(folder, "twinlock-clinic")
    draft = Config(
        folder=folder,
        deployment_id=b"",
        identity=b"",
        production=False,
        token_uri=token.uri,
        token_profile=None,
        token_reserved=None,
        pin_file=token.pin_file.resolve(),
        pin_env=None,
        sessions=4,
        store_url=store_url,
        seal_suite=SUITE,
        accept=accept_suites([SUITE]),
        writer_name="clinic application",
        writer_key=folder / "writer.key",
        pins=folder / "pins",
        agent_host=AGENT_HOST,
    )
    with SqlStore.connect(draft.store_url, create=True) as store:
        connected = connect_token(draft)
        suites = outer_suites([SUITE], connected)
        config = found_deployment(draft, store, connected, suites=suites)
        # For members who add a password, which opens their agent on any computer.
        add_hardening_key(store, connected, config, now=int(time.time()))
        connected.close()
    create_writer_key(config.writer_key)
    write_config(folder / "twinlock.toml", config)
    return config


def _enter(person: DemoPerson, vault: Vault, config: Config) -> None:
    """Make a member with key file and passphrase, who founds the group that it belongs to."""
    home = config.folder / _HOME
    key = DeviceKey.create(home / f"{person.username}.key")
    passphrase = Passphrase(person.passphrase)
    create_member(person.username, [key, passphrase], deployment=deployment_card(config), home=home)
    policy = Policy(outer_suites=config.accept, click_each=person.group in CLICK_EACH)
    with Agent.unlock(person.username, key, passphrase, home=home) as agent:
        for proposal in agent.admin.found(person.group, policy, writers=[writer_of(config)]):
            vault.append(proposal)
        agent.follow(vault.group_bundle(agent.hello()))
