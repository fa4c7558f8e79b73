"""The browser agent's own site: a few fixed files, served with strict headers, and nothing else.

It belongs on an origin of its own, of the same site as the applications (docs/browser-agent.md).
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from twinlock.core.deployment import DeploymentCard, parse_deployment_card
from twinlock.core.origins import secure_host
from twinlock.errors import CallerError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HOST_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")
LOCK_AFTER_MINUTES: Final = (5, 15, 30, 60)
_DEFAULT_TITLE: Final = "Twinlock agent"
_WINDOW: Final = "agent.html"
_RELAY: Final = "relay.html"
_TYPES: Final = MappingProxyType(
    {
        _WINDOW: "text/html; charset=utf-8",
        _RELAY: "text/html; charset=utf-8",
        "agent.js": "text/javascript; charset=utf-8",
        "agent-worker.js": "text/javascript; charset=utf-8",
        "agent-shared.js": "text/javascript; charset=utf-8",
        "agent-more.js": "text/javascript; charset=utf-8",
        "relay.js": "text/javascript; charset=utf-8",
        "agent.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
    }
)
"""All files that there are. Applications ship the library for their pages themselves."""

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'none'; worker-src 'self'; form-action 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types {types}; frame-ancestors {ancestors}"
)
_FEATURES: Final = (
    *("accelerometer", "autoplay", "camera", "clipboard-read", "clipboard-write"),
    *("display-capture", "encrypted-media", "fullscreen", "gamepad", "geolocation", "gyroscope"),
    *("hid", "identity-credentials-get", "idle-detection", "local-fonts", "magnetometer"),
    *("microphone", "midi", "otp-credentials", "payment", "picture-in-picture"),
    *("screen-wake-lock", "serial", "storage-access", "usb", "window-management"),
    "xr-spatial-tracking",
)
_PASSKEYS: Final = ("publickey-credentials-create", "publickey-credentials-get")
"""What the window alone may do: no frame, the relay least of all."""
_EVERYWHERE: Final = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("origin-agent-cluster", "?1"),
    ("x-dns-prefetch-control", "off"),
    # Every load asks whether the file is still the same: an update of the agent is one at once.
    ("cache-control", "no-cache"),
)


def _permissions(passkeys: str) -> tuple[str, str]:
    """The Permissions-Policy; ``passkeys`` says who may use them."""
    allowed = dict.fromkeys(_FEATURES, "()") | dict.fromkeys(_PASSKEYS, passkeys)
    return "permissions-policy", ", ".join(f"{name}={who}" for name, who in allowed.items())


@dataclass(frozen=True, slots=True)
class _File:
    """One file with its headers; ``tag`` is its ETag."""

    body: bytes
    headers: tuple[tuple[str, str], ...]
    tag: str


class AgentSite:
    """An ASGI application that serves the agent's window and its relay.

    ``folder`` holds what ``make web`` built; by default the copy in the package or the repository's
    ``web/dist``. ``origins`` are the applications that may talk to the agent (``https://``, or
    ``http://`` on localhost). ``lock_after`` minutes without use lock the agent, until its member
    chooses otherwise. ``deployment`` is the deployment's card: it pins the token for hardened
    passwords, and for members who arrive with a name instead of files. It must not come from the
    application.

    Raises CallerError ``agent-site.origin``, ``agent-site.lock-after`` or ``agent-site.not-built``,
    DataError ``deployment.card-malformed``.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        origins: Iterable[str],
        title: str = _DEFAULT_TITLE,
        lock_after: int = 15,
        deployment: DeploymentCard | str | None = None,
    ) -> None:
        self.origins = tuple(dict.fromkeys(_checked_origin(origin) for origin in origins))
        if not self.origins:
            raise _bad_origin("(none)")
        if lock_after not in LOCK_AFTER_MINUTES:
            raise CallerError(
                "agent-site.lock-after",
                f"The agent cannot lock after {lock_after} minutes.",
                hint=f"Choose one of {', '.join(map(str, LOCK_AFTER_MINUTES))}.",
            )
        values = {
            "{{origins}}": " ".join(self.origins),
            "{{title}}": title,
            "{{lock_after}}": str(lock_after),
            "{{deployment}}": _card_text(deployment),
        }
        source = built_agent() if folder is None else Path(folder)
        self._files = {name: self._file(source, name, values) for name in _TYPES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Anything but GET and HEAD of a known file is refused."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._serve(scope, send)

    async def _serve(self, scope: Scope, send: Send) -> None:
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        found = self._files.get(_WINDOW if path == "/" else path.removeprefix("/"))
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, _plain(b"Method not allowed\n", ("allow", "GET, HEAD")), scope)
        elif found is None or not path.startswith("/"):
            await _answer(send, 404, _plain(b"Not found\n"), scope)
        elif found.tag.encode() in _sent_tags(scope):
            await _answer(send, 304, _File(b"", found.headers, found.tag), scope)
        else:
            await _answer(send, 200, found, scope)

    def _file(self, folder: Path, name: str, values: dict[str, str]) -> _File:
        try:
            body = (folder / name).read_bytes()
        except OSError as error:
            raise _not_built(folder) from error
        if name.endswith(".html"):
            text = body.decode()
            for placeholder, value in values.items():
                text = text.replace(placeholder, html.escape(value))
            body = text.encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = (
            ("content-type", _TYPES[name]),
            ("etag", tag),
            *_EVERYWHERE,
            *self._framing(name),
        )
        return _File(body, headers, tag)

    def _framing(self, name: str) -> tuple[tuple[str, str], ...]:
        """Who may frame or load a file: the relay, the applications; all else, nobody."""
        if name == _RELAY:
            policy = _POLICY.format(types="'none'", ancestors=" ".join(self.origins))
            return (
                ("content-security-policy", policy),
                ("cross-origin-resource-policy", "same-site"),
                _permissions("()"),
            )
        return (*_SEALED_OFF, _permissions("(self)" if name == _WINDOW else "()"))


def built_agent() -> Path:
    """Return the folder with the built agent: the package's copy, else the repository's.

    Raises CallerError ``agent-site.not-built``.
    """
    here = Path(__file__).resolve()
    copies = (here.with_name("agent_site_files"), here.parents[3] / "web" / "dist")
    for folder in copies:
        if (folder / _WINDOW).is_file():
            return folder
    raise _not_built(copies[-1])


_SEALED_OFF: Final = (
    ("content-security-policy", _POLICY.format(types="twinlock", ancestors="'none'")),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
)


def _card_text(deployment: DeploymentCard | str | None) -> str:
    if deployment is None:
        return ""
    card = parse_deployment_card(deployment) if isinstance(deployment, str) else deployment
    return card.to_text()


def _checked_origin(origin: str) -> str:
    """Return an origin as browsers write it, or raise."""
    host = secure_host(origin)
    if not host or not _HOST_LETTERS.issuperset(host):
        raise _bad_origin(origin)
    return origin


def _bad_origin(origin: str) -> CallerError:
    return CallerError(
        "agent-site.origin",
        f"{origin} is not an origin that an agent may serve.",
        hint="Write https://host or https://host:port, in lower case, without a path; "
        "http only for localhost.",
    )


def _not_built(folder: Path) -> CallerError:
    return CallerError(
        "agent-site.not-built",
        f"There is no built agent in {folder}.",
        hint="Run `make web`, or name the folder that holds agent.html.",
    )


def _plain(body: bytes, *more: tuple[str, str]) -> _File:
    headers = (
        ("content-type", "text/plain; charset=utf-8"),
        *_EVERYWHERE,
        *_SEALED_OFF,
        _permissions("()"),
        *more,
    )
    return _File(body, headers, "")


def _sent_tags(scope: Scope) -> list[bytes]:
    """The ETags of ``If-None-Match``; a weak one compares like a strong one (RFC 9110 13.1.2)."""
    sent = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
    return [tag.strip().removeprefix(b"W/") for tag in sent.split(b",")]


async def _answer(send: Send, status: int, file: _File, scope: Scope) -> None:
    length = () if status == 304 else (("content-length", str(len(file.body))),)
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in (*file.headers, *length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else file.body
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the server's start and end; there is nothing to do at either."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
