"""Whether a request that changes something comes from the application's own pages, and from where.

JSON alone is no proof: a browser asks before it sends that to another origin, but what answers the
asking may be in front of this application.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from twinlock.errors import CallerError

_OWN: Final = frozenset({"", "none", "same-origin"})
_PORTS: Final = {"https": 443, "http": 80}
_IPV6_NETWORK: Final = 64


def require_own_page(connection: HTTPConnection, origins: Collection[str]) -> None:
    """Refuse what a browser says comes from a page of another origin.

    ``origins``: the application's own, as browsers write them; without any, that of the address
    which was asked for. Programs name no origin. Raises CallerError ``http.cross-site``.
    """
    headers = connection.headers
    origin = headers.get("origin")
    own = headers.get("sec-fetch-site", "").lower() in _OWN
    if origin is not None:
        place = _place(origin)
        known = origin in origins if origins else place == _asked(connection, origin)
        own = own and known and place is not None
    if not own:
        raise CallerError(
            "http.cross-site",
            "Another site sent this.",
            hint="Answer from a page of the application's own site.",
        )


def network_of(connection: HTTPConnection) -> str:
    """Return where a request comes from: an IPv4 address, or a network of IPv6 (64 bits).

    It is the peer of the connection; behind a proxy, that is the proxy, unless the server was told
    to believe its headers.
    """
    host = "" if connection.client is None else connection.client.host
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address)


def _asked(connection: HTTPConnection, origin: str) -> tuple[str, int | None] | None:
    """The place that was asked for, with the port that the page's scheme would leave out."""
    scheme = origin.partition("://")[0]
    return _place(f"{scheme}://{connection.headers.get('host', '')}")


def _place(origin: str) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(origin)
        if not parts.hostname:
            return None
        return parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
