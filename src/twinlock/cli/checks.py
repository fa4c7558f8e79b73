"""Checks of a deployment for ``doctor``: each a name, whether it holds, and what was found."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from twinlock.cli.group.show import warnings_about
from twinlock.cli.server_side import open_vault
from twinlock.cli.terminal import Terminal
from twinlock.core.membership import AgentPlacement, GroupState
from twinlock.errors import TwinlockError

if TYPE_CHECKING:
    from twinlock.server.config import Config
    from twinlock.server.vault import Vault

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

TAKEOVER: Final = MappingProxyType(
    {
        AgentPlacement.OWN_ORIGIN_OR_PROGRAM: "exactly the records that members release meanwhile; "
        "no key that opens another",
        AgentPlacement.APPLICATION_PAGE: "what the members may open who use the page meanwhile",
        AgentPlacement.SERVER: "what the members may open who log in meanwhile",
    }
)
"""What a live takeover of this server yields, by where agents may run (docs/threat-model.md)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``ok`` is None for what is only to be known."""

    name: str
    ok: bool | None
    detail: str

    def facts(self) -> dict[str, Any]:
        """Return the finding for programs."""
        return asdict(self)


def deployment_checks(terminal: Terminal, config: Config) -> list[Check]:
    """Check everything that can be checked without a member."""
    try:
        vault = open_vault(config, terminal)
    except TwinlockError as error:
        return [*_file_checks(terminal, config), _failed("store", error)]
    try:
        return [
            *_file_checks(terminal, config),
            Check("store", True, f"{vault.store.place}, of this release's schema"),
            _tried("token directory", lambda: _directory(vault)),
            _tried("keys in the token", lambda: _keys(vault)),
            *_group_checks(vault),
            _tried("audit chain", lambda: _audit(vault)),
        ]
    finally:
        vault.close()


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except TwinlockError as error:
        return _failed(name, error)


def _failed(name: str, error: TwinlockError) -> Check:
    return Check(name, False, str(error))


def _directory(vault: Vault) -> str:
    return f"{len(vault.directory.entries)} keys, stated by the pinned identity"


def _keys(vault: Vault) -> str:
    return f"all found on {vault.token.name} {vault.token.serial}, with the attribute policy"


def _audit(vault: Vault) -> str:
    tail = vault.store.audit.tail()
    return f"{tail.next_seq} lines; prove it with `twinlock audit verify`"


# --- files ---------------------------------------------------------------------------------------


def _file_checks(terminal: Terminal, config: Config) -> Iterator[Check]:
    environment = "production" if config.production else "development"
    yield _mode("configuration", terminal.config, _OTHERS_WRITE, "written", environment)
    if config.writer_key.exists():
        yield _mode("writer key", config.writer_key, _OTHERS, "read", config.writer_name)
    else:
        yield Check("writer key", None, "none: this vault only opens")
    if config.pins.exists():
        yield _mode("pins", config.pins, _OTHERS_WRITE, "written", str(config.pins))
    else:
        yield Check("pins", None, "none yet: no group is trusted")


def _mode(name: str, path: Path, refused: int, verb: str, detail: str) -> Check:
    mode = path.stat().st_mode
    if mode & refused:
        said = f"{path} can be {verb} by others (mode {stat.S_IMODE(mode):o}): chmod 600 {path}"
        return Check(name, False, said)
    return Check(name, True, f"{detail}, mode {stat.S_IMODE(mode):o}")


# --- groups --------------------------------------------------------------------------------------


def _group_checks(vault: Vault) -> list[Check]:
    try:
        states = sorted(vault.group_states().values(), key=lambda state: state.name)
    except TwinlockError as error:
        return [_failed("groups", error)]
    found = [_group(state) for state in states]
    for state in states:
        found += [Check(f"group {state.name}", None, text) for text in warnings_about(state, None)]
    return [*found, _takeover(states)]


def _group(state: GroupState) -> Check:
    detail = (
        f"{len(state.members)} members, {len(state.admins)} admins, {len(state.writers)} writers, "
        f"epoch {state.current_epoch.number}, entry {state.seq}"
    )
    return Check(f"group {state.name}", True, detail)


def _takeover(states: list[GroupState]) -> Check:
    """SPEC Agents: where agents may run decides what a live takeover of the server yields."""
    if not states:
        return Check("live takeover", None, "no group yet, so nothing to open")
    laxest = max((s.policy.agent_placement for s in states), key=list(AgentPlacement).index)
    names = ", ".join(s.name for s in states if s.policy.agent_placement is laxest)
    detail = f"would yield {TAKEOVER[laxest]} (agents: {laxest.value}, by {names})"
    return Check("live takeover", None, detail)
