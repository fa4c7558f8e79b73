"""The agent's site: which files there are, under which headers, for whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount

from twinlock import CallerError, DataError
from twinlock.core.deployment import DeploymentCard
from twinlock.integrations.agent_site import AgentSite

APP = "https://clinic.example"
LOCAL = "http://localhost:8400"
SCRIPTS = ("agent.js", "agent-worker.js", "agent-shared.js", "agent-more.js", "relay.js")
FILES = (*SCRIPTS, "agent.css", "icon.svg")
PAGES = ("agent.html", "relay.html")
PAGE = '<meta name="o" content="{{origins}}"><p>{{title}} {{lock_after}}</p>{{deployment}}'
CARD = DeploymentCard(bytes(range(16)), bytes(range(32)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A built agent, small."""
    for name in FILES:
        (tmp_path / name).write_text(f"/* {name} */")
    for name in PAGES:
        (tmp_path / name).write_text(PAGE)
    (tmp_path / "client.js").write_text("/* for applications */")
    return tmp_path


@pytest.fixture
def site(folder: Path) -> AgentSite:
    """A site for two applications."""
    return AgentSite(folder, origins=[APP, LOCAL], title="A & B <agent>", lock_after=30)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Headers
    text: str


def _events(application: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask as a server does that passes a path on as it came; return what was sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    asyncio.run(application(scope, receive, send))
    return sent


def get(application: Any, path: str, *, method: str = "GET", tags: str = "") -> Answer:
    """Make one request."""
    headers = [(b"if-none-match", tags.encode())] if tags else []
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    start, body = _events(application, scope)
    return Answer(start["status"], Headers(raw=start["headers"]), body["body"].decode())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/agent.html", "text/html; charset=utf-8"),
        ("/relay.html", "text/html; charset=utf-8"),
        *((f"/{name}", "text/javascript; charset=utf-8") for name in SCRIPTS),
        ("/agent.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_each_file_has_its_exact_type(site: AgentSite, path: str, kind: str) -> None:
    answer = get(site, path)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert (
        get(site, path, method="HEAD").headers["content-length"] == answer.headers["content-length"]
    )


@pytest.mark.parametrize(
    "path",
    [
        *("", "agent.js", "//agent.js", "/./agent.js", "/../agent.js", "/x/../agent.js"),
        *("/client.js", "/agent-core.js", "/agent.js/", "/agent.js\x00", "/AGENT.JS", "/agent"),
        *("/..%2f..%2fetc/passwd", "/%61gent.js", "/\\agent.js", "/agent.html.map"),
    ],
)
def test_nothing_else_is_there(site: AgentSite, path: str) -> None:
    assert get(site, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_is_taken(site: AgentSite, method: str) -> None:
    answer = get(site, "/agent.html", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/relay.html", "/agent.js", "/icon.svg", "/missing"])
def test_every_answer_has_the_strict_headers(site: AgentSite, path: str) -> None:
    """R-WEB-1."""
    headers = get(site, path).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy | {"frame-ancestors": "", "trusted-types": ""} == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'none'",
        "worker-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "",
        "frame-ancestors": "",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["origin-agent-cluster"] == "?1"
    assert headers["x-dns-prefetch-control"] == "off"
    policy = headers["permissions-policy"]
    assert "camera=()" in policy
    allowed = {part.split("=")[0] for part in policy.split(", ") if not part.endswith("=()")}
    passkeys = {"publickey-credentials-create", "publickey-credentials-get"}
    assert allowed == (passkeys if path == "/" else set())
    assert all(part.endswith(("=()", "=(self)")) for part in policy.split(", "))


def test_only_the_relay_can_be_framed_and_only_by_the_applications(site: AgentSite) -> None:
    """R-WEB-1, R-WEB-2."""
    relay = get(site, "/relay.html").headers
    assert f"frame-ancestors {APP} {LOCAL}" in relay["content-security-policy"]
    assert "trusted-types 'none'" in relay["content-security-policy"]
    assert relay["cross-origin-resource-policy"] == "same-site"
    assert "x-frame-options" not in relay
    for path in ("/", "/agent.html", "/agent.js", "/relay.js", "/missing"):
        other = get(site, path).headers
        assert "frame-ancestors 'none'" in other["content-security-policy"]
        assert other["cross-origin-resource-policy"] == "same-origin"
        assert other["x-frame-options"] == "DENY"


def test_pages_hold_origins_and_title_as_text(site: AgentSite) -> None:
    for page in PAGES:
        text = get(site, f"/{page}").text
        assert text == (f'<meta name="o" content="{APP} {LOCAL}"><p>A &amp; B &lt;agent&gt; 30</p>')


@pytest.mark.parametrize("card", [CARD, CARD.to_text(), f" {CARD.to_text().upper()}\n"])
def test_the_deployments_card_is_served_as_it_is_written(folder: Path, card: Any) -> None:
    """R-HARD-6: the pinned token comes from the agent's own origin."""
    site = AgentSite(folder, origins=[APP], deployment=card)
    assert get(site, "/agent.html").text.endswith(CARD.to_text())


def test_a_card_with_a_slip_is_refused_before_anything_is_served(folder: Path) -> None:
    with pytest.raises(DataError) as refused:
        AgentSite(folder, origins=[APP], deployment=CARD.to_text()[:-1] + "g")
    assert refused.value.code == "deployment.card-malformed"


def test_an_unchanged_file_is_not_sent_twice(site: AgentSite) -> None:
    first = get(site, "/agent.js")
    assert first.headers["cache-control"] == "no-cache"
    for tag in (
        first.headers["etag"],
        f"W/{first.headers['etag']}",
        f'"x", {first.headers["etag"]}',
    ):
        again = get(site, "/agent.js", tags=tag)
        assert (again.status, again.text) == (304, "")
        assert "content-security-policy" in again.headers
    assert get(site, "/agent.js", tags='"other"').status == 200


def test_it_can_be_mounted_and_refuses_websockets(site: AgentSite) -> None:
    mounted = Starlette(routes=[Mount("/a", site)])
    assert get(mounted, "/a/agent.js").text == "/* agent.js */"
    assert get(mounted, "/a/").headers["content-type"] == "text/html; charset=utf-8"
    closed = _events(site, {"type": "websocket", "path": "/"})
    assert closed == [{"type": "websocket.close", "code": 1000}]


@pytest.mark.parametrize(
    "origin",
    [
        *("", "*", "null", "'self'", "clinic.example", "//clinic.example", "https://"),
        *("https://clinic.example/", "https://clinic.example/app", "https://clinic.example?x"),
        *("https://Clinic.example", "HTTPS://clinic.example", "https://clinic.example:443"),
        *("http://clinic.example", "http://localhost.example", "http://localhost:80"),
        *("https://a.example https://b.example", "https://*.example", "https://a@clinic.example"),
        *("https://clinic.example;", "https://clinic.example'", "https://clinic.example:99999"),
        *("ftp://localhost", "data:text/html,x", "https://kliník.example", "https://[::1]"),
    ],
)
def test_only_origins_as_browsers_write_them_are_taken(folder: Path, origin: str) -> None:
    """R-WEB-2."""
    with pytest.raises(CallerError) as refused:
        AgentSite(folder, origins=[origin])
    assert refused.value.code == "agent-site.origin"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"origins": []}, "agent-site.origin"),
        ({"origins": [APP], "lock_after": 7}, "agent-site.lock-after"),
        ({"origins": [APP], "folder": "/nowhere"}, "agent-site.not-built"),
    ],
)
def test_what_it_cannot_serve_is_said_at_once(folder: Path, given: Any, code: str) -> None:
    with pytest.raises(CallerError) as refused:
        AgentSite(**({"folder": folder} | given))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "origin", [APP, LOCAL, "http://app.localhost:1", "https://a-b.example:8443"]
)
def test_origins_are_kept_once_and_in_order(folder: Path, origin: str) -> None:
    assert AgentSite(folder, origins=[origin, APP, origin]).origins[0] == origin


def test_it_takes_part_in_the_servers_life(site: AgentSite) -> None:
    told = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> Any:
        return {"type": next(told)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(site({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
