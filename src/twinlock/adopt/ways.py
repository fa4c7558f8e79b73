"""Whom a row's locks are for: names that a layout gives become groups that the vault trusts."""

from __future__ import annotations

from collections.abc import Sequence

from twinlock.adopt.layout import GroupNames
from twinlock.errors import CallerError, DataError
from twinlock.server.groups import Group
from twinlock.server.sealing import AllOf
from twinlock.server.vault import Vault


class GroupsOf:
    """Resolves names of groups; each answer is kept."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[str, Group | None] = {}

    def ways(self, names: GroupNames | None) -> list[Group | AllOf]:
        """Return the ways in. Raises DataError ``adopt.unknown-group``: nothing is guessed."""
        if not names:
            raise _unknown("no group follows from it")
        return [self._way(name) for name in names]

    def _way(self, name: str | Sequence[str]) -> Group | AllOf:
        if isinstance(name, str):
            return self._group(name)
        return AllOf(*(self._group(one) for one in name))

    def _group(self, name: str) -> Group:
        if name not in self._known:
            try:
                self._known[name] = self._vault.group(name)
            except CallerError as error:
                if error.code != "group.unknown":
                    raise
                self._known[name] = None
        found = self._known[name]
        if found is None:
            raise _unknown(f"this server trusts no group {name!r}")
        return found


def _unknown(why: str) -> DataError:
    return DataError(
        "adopt.unknown-group",
        f"It cannot be told for whom this row is: {why}.",
        hint="Correct the row, or groups and group-names in adopt.toml; no group is guessed.",
    )
