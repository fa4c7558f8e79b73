"""Who shall be able to open what is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.groups import Group
    from twinlock.server.sealing import AllOf
    from twinlock.server.vault import Vault


class Ways:
    """The ways in that were named: groups each of which opens, and sets that open together."""

    def __init__(self, groups: Sequence[str], together: Sequence[str]) -> None:
        if not groups and not together:
            raise CallerError(
                "seal.no-group",
                "Nobody was named who shall be able to open this.",
                hint="Use --to GROUP, or --all GROUP1,GROUP2.",
            )
        self._groups = groups
        self._together = [[n.strip() for n in names.split(",")] for names in together]

    def of(self, opened: Vault) -> list[Group | AllOf]:
        """Return the vault's groups. Raises ``group.unknown``."""
        from twinlock.server.sealing import AllOf

        sets = [AllOf(*(opened.group(name) for name in names)) for names in self._together]
        return [*(opened.group(name) for name in self._groups), *sets]

    def __str__(self) -> str:
        return " or ".join([*self._groups, *(" and ".join(names) for names in self._together)])
