"""Whether the old private keys are in reach of the server still: the claim begins without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twinlock.adopt.site import Site
from twinlock.core.adopting import LegacyKey
from twinlock.errors import CallerError, EnvError


@dataclass(frozen=True, slots=True)
class OldKey:
    """An old key. ``unwraps`` is False where DEKs would come into host memory; None: not there."""

    name: str
    in_token: bool
    unwraps: bool | None

    @property
    def where(self) -> str:
        """Where the key is, in words."""
        if not self.in_token:
            return "not in this token"
        return "in this token" if self.unwraps else "in this token, without CKA_UNWRAP"

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"name": self.name, "in_token": self.in_token, "unwraps": self.unwraps}


def old_keys(site: Site) -> list[OldKey]:
    """Look every old key up in the token. Raises EnvError ``token.*``, CallerError ``adopt.*``."""
    return [_look(site, name, key) for name, key in site.keys.items()]


def _look(site: Site, name: str, key: LegacyKey) -> OldKey:
    try:
        with site.vault.token.adopting(key):
            return OldKey(name, True, True)
    except CallerError as error:
        if error.code != "legacy.no-unwrap":
            raise
        return OldKey(name, True, False)
    except EnvError as error:
        if error.code not in ("legacy.key-missing", "legacy.key-replaced"):
            raise
        return OldKey(name, False, None)
