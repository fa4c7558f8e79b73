"""A real deployment to attack: SoftHSM, SQLite or PostgreSQL, three groups, every layout.

Ward and emergency open ordinary records, the data office its own, and some records need ward and
data office together. Tom was a member of the ward and was removed; he kept everything.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from attacks.people import Insider
from attacks.places import PLACES, Place
from attacks.powers import DatabaseWriter, HsmUser, Snapshot
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.server import setup
from twinlock.server.config import Config
from twinlock.server.groups import Group
from twinlock.server.pins import FilePins
from twinlock.server.records import SealedFile, Stored
from twinlock.server.requests import Request
from twinlock.server.sealing import AllOf
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore

SUITES: Final = ("rsa-oaep", "token-aes")
PIN: Final = "attack-4711"
PASSPHRASE: Final = "seven geese crossed the ward"
_LABEL: Final = "attacked"


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A SoftHSM token of this process, shared by all worlds: each has keys of its own in it."""

    folder: Path
    uri: str
    module: str
    pin_file: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Initialise the token. SoftHSM reads its configuration once a process, so do it first."""
        module = os.environ.get("TWINLOCK_SOFTHSM_MODULE") or "/usr/lib/softhsm/libsofthsm2.so"
        tool = os.environ.get("TWINLOCK_SOFTHSM_UTIL") or "softhsm2-util"
        (folder / "tokens").mkdir(parents=True)
        settings = folder / "softhsm2.conf"
        settings.write_text(
            f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n"
            "log.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(settings)
        command = [tool, "--init-token", "--free", "--label", _LABEL, "--pin", PIN]
        subprocess.run([*command, "--so-pin", "5678"], check=True, capture_output=True)
        pin_file = folder / "pin"
        pin_file.write_text(PIN)
        pin_file.chmod(0o600)
        return cls(folder, f"pkcs11:token={_LABEL}?module-path={module}", module, pin_file)


@dataclass(slots=True)
class Clock:
    """The world's time: real, and as much later as an attack says."""

    later: int = 0

    def __call__(self) -> int:
        return int(time.time()) + self.later


@dataclass(slots=True)
class World:
    """One deployment with people and records, as its owner sees it, and what attackers hold.

    ``database``, ``hsm`` and ``removed`` are the attackers' powers; an attack uses only those that
    its claim grants.
    """

    folder: Path
    config: Config
    token_place: TokenPlace
    database: DatabaseWriter
    clock: Clock
    vault: Vault
    agents: dict[str, Agent] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    removed: Insider = field(init=False)
    places: tuple[Place, ...] = PLACES
    _saved: Snapshot | None = None
    _original: Config = field(init=False)

    # --- what the honest application does --------------------------------------------------------

    @property
    def hsm(self) -> HsmUser:
        """The HSM interface with the PIN."""
        return HsmUser(self.config, self.token_place.module, _LABEL, PIN)

    @property
    def files(self) -> Path:
        """Where the application keeps sealed files."""
        return self.folder / "files"

    def place(self, name: str) -> Place:
        """Return a place by name."""
        return next(place for place in self.places if place.name == name)

    def stored(self, place: Place) -> Stored:
        """Return what is stored for a place now, as the application reads it."""
        return self.database.stored(place)

    def seal(self, place: Place) -> Stored:
        """Seal a place's content anew and return the stored form."""
        to = self.targets(place)
        content = place.content
        if place.layout == "row":
            return self.vault.seal_row(content, to=to, context=place.context, suite=place.suite)
        if place.layout == "value":
            (value,) = content.values()
            return self.vault.seal(value, to=to, context=place.context, suite=place.suite)
        (value,) = content.values()
        path = self.files / f"{place.name}.twl"
        self.vault.seal_file(
            io.BytesIO(value), path, to=to, context=place.context, suite=place.suite
        )
        return SealedFile(path)

    def read(
        self, place: Place, stored: Stored | None = None, *, member: str | None = None
    ) -> dict[str, bytes]:
        """Open a place as the application does, with its reader's agent (and helper, if needed).

        Returns column to plaintext. Raises whatever refuses it. ``stored`` instead of what lies in
        the database now.
        """
        found = self.stored(place) if stored is None else stored
        request = self.vault.request([(place.context, found)], purpose="x")
        release = self.release(request, place, member)
        return self.open(request, release, place)

    def release(self, request: Request, place: Place, member: str | None = None) -> bytes:
        """Have a member's agent, and where the lock needs it a helper's, answer a request."""
        agent = self.agents[member or place.reader]
        bundle = request.bind(agent.hello())
        shares = []
        if place.helper is not None:
            helper = self.agents[place.helper]
            shares.append(helper.help_with(request.assist(helper.hello(), bundle)))
        return agent.release(bundle, shares=shares, expect=[place.context]).raw

    def open(self, request: Request, release: bytes, place: Place) -> dict[str, bytes]:
        """Open an answered request; column to plaintext."""
        if place.layout == "file":
            output = self.folder / "opened"
            output.unlink(missing_ok=True)
            self.vault.open_file(request, release, output)
            return {str(place.context.column): output.read_bytes()}
        (opened,) = self.vault.open(request, release)
        if opened.error is not None:
            raise opened.error
        return {column: opened.data(column).reveal() for column in opened.columns}

    def follow(self, *names: str) -> None:
        """Let members' agents take the news of their groups."""
        for name in names or tuple(self.agents):
            agent = self.agents[name]
            agent.follow(self.vault.group_bundle(agent.hello()))

    def unlock(self, name: str, **options: object) -> Agent:
        """Unlock a member's agent from its device, as a restart would."""
        home = self.folder / "devices" / name
        factors: list[DeviceKey | Passphrase] = [DeviceKey(home / "device.key")]
        if name in WITH_PASSPHRASE:
            factors.append(Passphrase(PASSPHRASE))
        return Agent.unlock(name, *factors, home=home, clock=self.clock, **options)  # type: ignore[arg-type]

    def restart(self) -> None:
        """Start the server anew: a new process' caches, and its transport keys are gone."""
        self.vault.close()
        self.vault = connect(self.config, self.clock)

    def reset(self) -> None:
        """Set everything back to what it was after building, and restart server and agents."""
        if self._saved is None:
            self._saved, self._original = self.database.snapshot(), self.config
            self._copy(self.folder, self._backup)
            return
        self.vault.close()
        self.config, self.clock.later = self._original, 0
        self.database.restore(self._saved)
        self._copy(self._backup, self.folder)
        self.vault = connect(self.config, self.clock)
        self.agents = {name: self.unlock(name) for name in self.agents}
        # Tom does not let anybody tell his agent that he was removed.
        self.follow(*(name for name in self.agents if name != self.removed.name))

    def rewind(self) -> None:
        """Set database and pins back and start the server anew; agents stay as they are."""
        if self._saved is None:
            raise LookupError("a world is rewound after it was built")
        self.database.restore(self._saved)
        shutil.copy2(self._backup / "pins", self.folder / "pins")
        self.restart()

    def close(self) -> None:
        """Close the server and forget the world."""
        self.vault.close()
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._backup, ignore_errors=True)

    @property
    def _backup(self) -> Path:
        return self.folder.with_name(self.folder.name + ".backup")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name in ("devices", "files", "pins", "writer.key"):
            here, there = source / name, target / name
            if here.is_dir():
                shutil.rmtree(there, ignore_errors=True)
                shutil.copytree(here, there)
            else:
                shutil.copy2(here, there)

    def targets(self, place: Place) -> list[Group | AllOf]:
        """Return the groups whose locks a place has."""
        ward, emergency, office = (self.groups[n] for n in ("ward", "emergency", "data-office"))
        targets: Mapping[str, list[Group | AllOf]] = {
            "ward or emergency": [ward, emergency],
            "ward": [ward],
            "data-office": [office],
            "ward and data-office": [AllOf(ward, office)],
        }
        return targets[place.locks]


WITH_PASSPHRASE: Final = frozenset({"pia"})


def connect(config: Config, clock: Callable[[], int]) -> Vault:
    """Start a server, as another process would."""
    return Vault(
        config,
        SqlStore.connect(config.store_url),
        lambda: setup.connect_token(config),
        pins=FilePins(config.pins),
        writer=setup.read_writer_key(config.writer_key),
        clock=clock,
    )
