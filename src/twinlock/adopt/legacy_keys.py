"""The old keys that ``adopt.toml`` names, as the token is asked for them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twinlock.adopt.settings import Adoption, LegacyKeySettings
from twinlock.core.adopting import LegacyKey
from twinlock.errors import CallerError, DataError
from twinlock.files import read_private

_MAX_SIZE: Final = 16 << 10
_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----(.+?)-----END PUBLIC KEY-----", re.DOTALL)


def legacy_keys(adoption: Adoption) -> Mapping[str, LegacyKey]:
    """Return the keys by their names. Raises ``file.*``, CallerError ``adopt.public-key``."""
    return {name: _key(settings) for name, settings in adoption.keys.items()}


def unknown_key(name: str) -> DataError:
    """Return the error of a row whose old key nobody declared."""
    return DataError(
        "adopt.unknown-key",
        f"The row names the old key {name!r}, which adopt.toml does not declare.",
        hint=f"Declare it as [legacy-keys.{name}].",
    )


def _key(settings: LegacyKeySettings) -> LegacyKey:
    try:
        return LegacyKey(
            public=_public(settings.public),
            cka_id=settings.cka_id,
            label=settings.label,
            oaep_hash=settings.oaep_hash,
            mgf_hash=settings.mgf_hash,
            oaep_label=settings.oaep_label,
        )
    except (DataError, binascii.Error) as error:
        raise CallerError(
            "adopt.public-key",
            f"{settings.public.name} holds no RSA public key.",
            hint="Export the key's SubjectPublicKeyInfo from the HSM, as PEM or DER.",
        ) from error


def _public(path: Path) -> bytes:
    """Return the DER of a SubjectPublicKeyInfo, which may be in PEM (RFC 7468)."""
    raw = read_private(path, max_size=_MAX_SIZE)
    pem = _PEM.search(raw)
    return raw if pem is None else base64.b64decode(pem[1])
