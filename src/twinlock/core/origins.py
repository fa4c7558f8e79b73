"""Web origins, as browsers write them (RFC 6454, section 6.2)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"https": 443, "http": 80}


def secure_host(origin: str) -> str | None:
    """Return the host of a secure origin: https, or http on localhost. None for any other text.

    The origin must be written as browsers do: in their form of host and port, without a path.
    """
    try:
        parts = urlsplit(origin)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return None
    is_local = host == "localhost" or host.endswith(".localhost")
    usual = port in (None, _PORTS.get(parts.scheme))
    written = f"{parts.scheme}://{host}" + ("" if usual else f":{port}")
    is_secure = parts.scheme == "https" or (parts.scheme == "http" and is_local)
    return host if is_secure and origin == written else None
