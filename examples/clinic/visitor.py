"""A visitor without a browser: a cookie, and if it has one, a member's agent in Python.

It speaks the HTTP flow of docs/http.md over a real connection, as a program of the member's would.
"""

from __future__ import annotations

import http.client
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

from examples.clinic.serving import ADDRESS, CLINIC_HOST
from twinlock.agent.agent import Agent, Approve

_HELLO: Final = "application/twinlock-hello"
_REQUEST: Final = "application/twinlock-request"
_RELEASE: Final = "application/twinlock-release"
_SECONDS: Final = 60
_SAFE: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The stable code of a problem; None when it is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return None
        return str(self.json().get("code"))


@dataclass
class Visitor:
    """One browser's worth of state. ``approve`` stands for the member's click."""

    port: int
    agent: Agent | None = None
    approve: Approve | None = None
    cookie: str | None = None

    def sign_in(self, username: str, password: str) -> Answer:
        """Sign in, and keep the cookie."""
        body = urlencode({"username": username, "password": password}).encode()
        kind = "application/x-www-form-urlencoded"
        answer = self.send("POST", "/login", body, {"Content-Type": kind})
        self.cookie = answer.headers.get("set-cookie", "").partition(";")[0] or None
        return answer

    def open(self, method: str, path: str, value: object = None) -> Answer:
        """Ask, and let the agent answer what is asked of it; without an agent the first answer.

        Raises what the agent raises.
        """
        body = None if value is None else json.dumps(value).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        first = self.send(method, path, body, kind)
        if first.status != http.client.PRECONDITION_REQUIRED or self.agent is None:
            return first
        named = {"Twinlock-Request": first.headers["twinlock-request"]}
        hello = self.agent.hello(session=_session(first))
        asked = self.send("POST", path, hello, {**named, "Content-Type": _HELLO})
        if asked.headers.get("content-type") != _REQUEST:
            return asked
        release = self.agent.release(asked.body, approve=self.approve).raw
        last = self.send("POST", path, release, {**named, "Content-Type": _RELEASE})
        if method in _SAFE or last.status != http.client.NO_CONTENT:
            return last
        digest = urlsafe_b64encode(sha256(release).digest()).rstrip(b"=").decode()
        repeated = {**kind, "Twinlock-Release": f"{named['Twinlock-Request']}.{digest}"}
        return self.send(method, path, body, repeated)

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """Send one request, with the cookie."""
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=_SECONDS)
        own = {"Host": f"{CLINIC_HOST}:{self.port}"}
        if self.cookie is not None:
            own["Cookie"] = self.cookie
        try:
            connection.request(method, path, body, {**own, **headers})
            response = connection.getresponse()
            known = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, known, response.read())
        finally:
            connection.close()


def _session(answer: Answer) -> bytes:
    text = answer.headers["twinlock-session"]
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
