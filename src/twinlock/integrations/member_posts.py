"""Posting to member routes: HTTPS, one address, no redirects, answers within bounds."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx

from twinlock.errors import CallerError, DataError, EnvError
from twinlock.integrations.member_answers import Answer, unreadable

MAX_ANSWER: Final = 96 << 20
"""Bytes: the news of all groups as base64url are the largest answer."""
_TIMEOUT: Final = 60.0


class Posts:
    """Posts JSON under one address, and reads what is answered."""

    def __init__(self, base: httpx.URL, client: httpx.Client | None) -> None:
        self._base = base
        self._own = client is None
        self._certificate: bytes | None = None
        self._is_bound = False
        self.client = httpx.Client(timeout=_TIMEOUT) if client is None else client

    def close(self) -> None:
        """Close the client, if it was made here."""
        if self._own:
            self.client.close()

    def post(self, route: str, body: Mapping[str, Any]) -> Answer:
        """Post to one route; redirects are not followed, as what is posted is for this address.

        Raises as ``MemberService`` says.
        """
        asked = self.client.build_request("POST", self._base.join(route), json=dict(body))
        try:
            response = self.client.send(asked, stream=True, follow_redirects=False)
            try:
                self._meet(_certificate_of(response))
                found = _read(response)
            finally:
                response.close()
        except httpx.TransportError as error:
            raise EnvError(
                "member-service.unreachable",
                f"{self._base.host} cannot be reached.",
                hint="Check the network and the address, and try again.",
                retryable=True,
            ) from error
        except httpx.HTTPError as error:
            raise unreadable("it cannot be read as HTTP") from error
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Answer.of(response.status_code, media_type, found)

    def bind(self) -> bytes | None:
        """Return the certificate of the server that answered last, as DER; None without TLS.

        From now on every answer must come from it. Raises DataError ``member-service.certificate``
        then.
        """
        self._is_bound = True
        return self._certificate

    def _meet(self, certificate: bytes | None) -> None:
        if self._is_bound and certificate != self._certificate:
            raise DataError(
                "member-service.certificate",
                "The server has another certificate than a moment ago.",
                hint="Sign in again. If it happens again, something is between you and it.",
            )
        self._certificate = certificate


def checked_url(url: str) -> httpx.URL:
    """Return the folder of the routes. Raises CallerError ``member-service.url``."""
    try:
        parsed = httpx.URL(url if url.endswith("/") else f"{url}/")
    except httpx.InvalidURL as error:
        raise _bad_url(url) from error
    secure = parsed.scheme == "https" or (parsed.scheme == "http" and _is_here(parsed.host))
    if not secure or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise _bad_url(url)
    return parsed


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _certificate_of(response: httpx.Response) -> bytes | None:
    stream = response.extensions.get("network_stream")
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    found: bytes | None = None if tls is None else tls.getpeercert(True)
    return found


def _read(response: httpx.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise unreadable("it is too long")
        chunks.append(chunk)
    return b"".join(chunks)


def _bad_url(url: str) -> CallerError:
    return CallerError(
        "member-service.url",
        f"{url[:200]!r} is no address of member routes.",
        hint="Write https://host/folder/; http only for this computer.",
    )
