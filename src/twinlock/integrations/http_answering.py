"""The client's side of the HTTP flow, for any library with httpx's kind of ``Auth``.

``http_client`` makes it one of httpx. Nothing here sends anything by itself: the flow says what to
send, and the library's client sends it with its own cookies, time-outs and transports.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, MutableMapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import anyio.to_thread

from twinlock.agent.agent import Approve, AsksMembers, Release
from twinlock.core.context import Context
from twinlock.errors import CallerError, DataError

MAX_ROUNDS: Final = 3
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{43}=?", re.ASCII)
_SAFE: Final = frozenset({"GET", "HEAD"})
_MAX_HELLO_HEADER: Final = 8192
_HELLO_TYPE: Final = "application/twinlock-hello"
_REQUEST_TYPE: Final = "application/twinlock-request"
_RELEASE_TYPE: Final = "application/twinlock-release"
_OF_THE_BODY: Final = ("content-type", "content-length", "transfer-encoding", "twinlock-hello")


class AnswersRequests(Protocol):
    """A member's side: an ``Agent``, or what stands for one in a test."""

    def hello(self, *, session: bytes | None = None) -> bytes:
        """Return what a server needs to ask this agent; see ``Agent.hello``."""
        ...

    def release(
        self,
        request: bytes | AsksMembers,
        *,
        expect: Sequence[Context] | None = None,
        approve: Approve | None = None,
    ) -> Release:
        """Answer a request; see ``Agent.release``."""
        ...


class _Send(NamedTuple):
    request: Any


class _Read(NamedTuple):
    message: Any


class _Work(NamedTuple):
    call: Callable[[], bytes]


_Steps = Generator[_Send | _Read | _Work, Any, Any]


class Answering:
    """Answers 428 with a member's agent. Mix it into the library's ``Auth``.

    GET and HEAD are answered as they come. Other methods only with ``explicit``: what changes
    something is repeated when its caller said so for this very request. ``expect``: the contexts
    that are to be opened; the agent refuses anything else. ``approve`` is asked where a budget or
    a policy wants the member's own decision. What the agent refuses is raised, as
    ``Agent.release`` does; what the server refuses is the response.
    """

    def __init__(
        self,
        agent: AnswersRequests,
        *,
        explicit: bool = False,
        expect: Sequence[Context] | None = None,
        approve: Approve | None = None,
    ) -> None:
        self._agent = agent
        self._explicit = explicit
        self._expect = expect
        self._approve = approve
        self._sessions: dict[tuple[Any, ...], bytes] = {}
        self._lock = threading.Lock()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Run the flow for a client that blocks."""
        steps, value = self._steps(request), None
        while True:
            try:
                step = steps.send(value)
            except StopIteration:
                return
            if isinstance(step, _Send):
                value = yield step.request
            elif isinstance(step, _Read):
                value = step.message.read()
            else:
                value = step.call()

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Run the flow for a client that awaits; the agent works in a thread."""
        steps, value = self._steps(request), None
        while True:
            try:
                step = steps.send(value)
            except StopIteration:
                return
            if isinstance(step, _Send):
                value = yield step.request
            elif isinstance(step, _Read):
                value = await step.message.aread()
            else:
                value = await anyio.to_thread.run_sync(step.call)

    def _steps(self, request: Any) -> _Steps:
        origin = _origin(request.url)
        if self._explicit:
            yield _Read(request)
        if request.method == "GET" and origin in self._sessions:
            yield from self._greet(request, self._sessions[origin])
        response = yield _Send(request)
        # For the steps that follow, without the hello.
        if isinstance(request.headers, _HereOnly):
            request.headers = request.headers.plain
        asked = response.request
        # A redirect may have led elsewhere: what another site asks for is not answered.
        if _origin(asked.url) != origin or not (self._explicit or asked.method in _SAFE):
            return
        for _ in range(MAX_ROUNDS):
            if response.status_code != 428 or "twinlock-request" not in response.headers:
                return
            self._sessions[origin] = _session(response)
            response = yield from self._round(request, asked, response)

    def _greet(self, request: Any, session: bytes) -> _Steps:
        """Say hello with the request itself, which saves a round trip."""
        hello = yield _Work(lambda: self._hello(session))
        text = _to_base64url(hello)
        if len(text) <= _MAX_HELLO_HEADER:
            request.headers = _HereOnly(request.headers, {"twinlock-hello": text})

    def _round(self, request: Any, asked: Any, response: Any) -> _Steps:
        """Say hello unless that was done, release; return the response that this leads to."""
        name = {"twinlock-request": response.headers["twinlock-request"]}
        if _media_type(response) != _REQUEST_TYPE:
            session = _session(response)
            hello = yield _Work(lambda: self._hello(session))
            posted = _post(asked, _HELLO_TYPE, hello, name)
            response = yield _Send(posted)
            _require_here(response, posted)
            if _media_type(response) != _REQUEST_TYPE:
                return response
        bundle = yield _Read(response)
        release = yield _Work(lambda: self._release(bundle))
        posted = _post(asked, _RELEASE_TYPE, release, name)
        response = yield _Send(posted)
        _require_here(response, posted)
        if asked.method in _SAFE or response.status_code != 204:
            return response
        return (
            yield _Send(_repeated(asked, request, _release_name(name["twinlock-request"], release)))
        )

    def _hello(self, session: bytes) -> bytes:
        with self._lock:
            return self._agent.hello(session=session)

    def _release(self, bundle: bytes) -> bytes:
        with self._lock:
            return self._agent.release(bundle, expect=self._expect, approve=self._approve).raw


def _origin(url: Any) -> tuple[Any, ...]:
    return url.scheme, url.host, url.port


def _to_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _release_name(request_id: str, release: bytes) -> str:
    """Return what a repetition names: the request, and the release that was posted for it."""
    return f"{request_id}.{_to_base64url(hashlib.sha256(release).digest())}"


def _session(response: Any) -> bytes:
    text = response.headers.get("twinlock-session", "")
    if _SESSION.fullmatch(text) is None:
        raise DataError(
            "http.session-header",
            "The server's answer has no Twinlock-Session, or one that is no session's.",
            hint="Look at what is between this client and the server: it may change headers.",
        )
    return base64.urlsafe_b64decode(text[:43] + "=")


def _media_type(response: Any) -> str:
    found: str = response.headers.get("content-type", "")
    return found.partition(";")[0].strip().lower()


def _post(asked: Any, media_type: str, body: bytes, more: dict[str, str]) -> Any:
    headers = {k: v for k, v in asked.headers.items() if k.lower() not in _OF_THE_BODY}
    made = type(asked)(
        "POST", asked.url, headers=headers, content=body, extensions=asked.extensions
    )
    made.headers = _HereOnly(made.headers, {"content-type": media_type, **more})
    made.stream = _once(made.stream)
    return made


def _repeated(asked: Any, request: Any, name: str) -> Any:
    made = type(asked)(
        asked.method,
        asked.url,
        headers=asked.headers,
        content=request.content,
        extensions=asked.extensions,
    )
    made.headers = _HereOnly(made.headers, {"twinlock-release": name})
    return made


class _HereOnly(MutableMapping[str, str]):
    """Headers of one request, some of which are sent but never copied to where it is redirected.

    A client sends ``raw`` or ``multi_items()``, and makes the headers of the next address from
    the mapping. One that sends the mapping leaves them out, which fails safely.
    """

    def __init__(self, plain: Any, here: dict[str, str]) -> None:
        self.plain = plain
        self._here = here

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """All headers, as bytes."""
        here = [(name.encode(), value.encode()) for name, value in self._here.items()]
        return [*self.plain.raw, *here]

    def multi_items(self) -> list[tuple[str, str]]:
        """All headers, as text."""
        return [*self.plain.multi_items(), *self._here.items()]

    def __getitem__(self, name: str) -> str:
        found: str = self.plain[name]
        return found

    def __setitem__(self, name: str, value: str) -> None:
        self.plain[name] = value

    def __delitem__(self, name: str) -> None:
        del self.plain[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain)

    def __len__(self) -> int:
        return len(self.plain)


def _once(stream: Any) -> Any:
    """Return a request's body that is sent to one address: hello and release are for no other."""
    kind: Any = type(stream)
    sent = False

    class Once(kind):  # type: ignore[misc]
        def __iter__(self) -> Any:
            self._begin()
            return iter(stream)

        def __aiter__(self) -> Any:
            self._begin()
            return aiter(stream)

        def _begin(self) -> None:
            nonlocal sent
            if sent:
                raise _redirected()
            sent = True

    return Once.__new__(Once)


def _require_here(response: Any, posted: Any) -> None:
    """Refuse an answer that a redirect led to. Raises CallerError ``http.redirected``."""
    if response.request.url != posted.url or response.request.method != "POST":
        raise _redirected()


def _redirected() -> CallerError:
    return CallerError(
        "http.redirected",
        "The server redirected a hello or release, which are for the address that asked.",
        hint="Ask the address that it leads to; a page that opens sealed data must not redirect.",
    )
