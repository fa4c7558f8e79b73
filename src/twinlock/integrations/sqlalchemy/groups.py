"""For whom a value is sealed: names in declarations, groups of the vault when sealing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twinlock.errors import CallerError
from twinlock.server.groups import Group
from twinlock.server.sealing import AllOf
from twinlock.server.vault import Vault


@dataclass(frozen=True, slots=True)
class EveryGroup:
    """One way in that needs all of several groups, by name; see ``all_of``."""

    names: tuple[str, ...]


Entry = str | Group | AllOf | EveryGroup
Groups = Entry | Sequence[Entry]
"""Each entry is one way in (OR)."""

Targets = tuple[str | Group | tuple[str | Group, ...], ...]
"""Groups in one form, which can be compared: entries, of which a tuple needs all its groups."""


def all_of(*names: str) -> EveryGroup:
    """Return one way in that needs a member of each of these groups (an AND lock)."""
    return EveryGroup(names)


def targets(groups: Any, attribute: str) -> Targets:
    """Return what ``to`` gave, in one form. Raises CallerError ``sealed.groups``."""
    entries = list(_entries(groups))
    if not entries or not all(_is_target(entry) for entry in entries):
        raise CallerError(
            "sealed.groups",
            f"to= of {attribute} gave no groups for this row, or something else.",
            hint="It takes group names, groups or all_of(...); set what it reads of the row before"
            " the row is flushed.",
        )
    return tuple(sorted(dict.fromkeys(entries), key=repr))


def resolve(vault: Vault, wanted: Targets) -> list[Group | AllOf]:
    """Return the vault's groups. Raises CallerError ``group.unknown``."""
    return [
        AllOf(*(_group(vault, one) for one in entry))
        if isinstance(entry, tuple)
        else _group(vault, entry)
        for entry in wanted
    ]


def ids_of(way: Group | AllOf) -> list[bytes]:
    """Return the ids of the groups that one way in needs."""
    return [group.group_id for group in (way.groups if isinstance(way, AllOf) else [way])]


def _entries(groups: Any) -> Iterator[Any]:
    several = isinstance(groups, Sequence | set | frozenset) and not isinstance(groups, str)
    for entry in groups if several else [groups]:
        if isinstance(entry, AllOf):
            yield tuple(sorted(entry.groups, key=repr))
        elif isinstance(entry, EveryGroup):
            yield tuple(sorted(entry.names, key=repr))
        else:
            yield entry


def _is_target(entry: Any) -> bool:
    if isinstance(entry, tuple):
        return bool(entry) and all(isinstance(one, str | Group) and one for one in entry)
    return isinstance(entry, Group) or (isinstance(entry, str) and entry != "")


def _group(vault: Vault, entry: str | Group) -> Group:
    return entry if isinstance(entry, Group) else vault.group(entry)
