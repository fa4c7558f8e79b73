"""Draws docs/images/http-flow.svg: who says what in the HTTP flow, for safe and other requests.

Run it after a change; a test compares the file with what this draws.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images" / "http-flow.svg"

WIDTH = 1080
TOP = 92
STEP = 46
INK, SOFT, LINE = "#1f2933", "#5b6875", "#c5ced8"
MEMBER, SERVER, NOTE, HEAD = "#0b6e63", "#2f4b8f", "#fff6dd", "#f4f7fa"

LANES = {
    "agent": (110, "Agent", "the member's keys", MEMBER),
    "client": (330, "Client", "page or program", MEMBER),
    "middleware": (585, "Middleware", "what waits", SERVER),
    "handler": (796, "Handler", "application, database", SERVER),
    "token": (978, "Token", "HSM", SERVER),
}


class Arrow(NamedTuple):
    """One message: from lane, to lane, what it is, and a second line in small print."""

    start: str
    end: str
    text: str
    small: str = ""
    reply: bool = False


class Note(NamedTuple):
    """A remark across some lanes."""

    start: str
    end: str
    text: str


class Title(NamedTuple):
    """The beginning of a part."""

    text: str


Step = Arrow | Note | Title
_MEMBERS = ("agent", "client")

STEPS: Sequence[Step] = (
    Title("A safe request: GET or HEAD"),
    Arrow("client", "middleware", "GET /patients"),
    Arrow("middleware", "handler", "first run", "loads rows, asks for them"),
    Arrow("handler", "middleware", "a release is needed", "database session given back", True),
    Arrow("middleware", "client", "428 problem+json", "Twinlock-Request, Twinlock-Session", True),
    Arrow("client", "agent", "session", ""),
    Arrow("agent", "client", "hello", "", True),
    Arrow("client", "middleware", "POST /patients: hello", "application/twinlock-hello"),
    Arrow("middleware", "client", "428: request", "application/twinlock-request", True),
    Arrow("client", "agent", "request"),
    Note(
        "agent", "token", "The agent checks everything itself. A person may look, for two minutes."
    ),
    Arrow("agent", "client", "release", "", True),
    Arrow("client", "middleware", "POST /patients: release", "application/twinlock-release"),
    Arrow("middleware", "handler", "second run, as GET", "the same rows, or it begins anew"),
    Arrow("handler", "token", "open, once"),
    Arrow("token", "handler", "values", "", True),
    Arrow("handler", "client", "200: the page", "Cache-Control: no-store", True),
    Title("Any other request: an explicit open"),
    Arrow("client", "middleware", "PUT /patients/7"),
    Arrow(
        "middleware",
        "client",
        "428, and the hello as above",
        "the handler's body did not run",
        True,
    ),
    Arrow("client", "middleware", "POST /patients/7: release", "application/twinlock-release"),
    Arrow("middleware", "client", "204", "kept for the repetition", True),
    Arrow(
        "client",
        "middleware",
        "PUT /patients/7, body again",
        "Twinlock-Release names request and release",
    ),
    Arrow("middleware", "handler", "the one run of its body"),
    Arrow("handler", "client", "200", "Cache-Control: no-store", True),
)


def svg() -> str:
    """Return the picture."""
    body: list[str] = []
    y, number = TOP, 0
    for step in STEPS:
        y += STEP
        match step:
            case Title(text):
                y += 14
                body.append(_title(text, y))
            case Note(start, end, text):
                body.append(_note(start, end, text, y))
            case Arrow():
                number += 1
                body.append(_arrow(step, number, y))
    height = y + 44
    return "\n".join([*_opening(height), *_lanes(height), *body, "</svg>", ""])


def _opening(height: int) -> list[str]:
    said = "Sequence of requests and answers between agent, client, middleware, handler and token"
    font = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
    heads = [
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto-start-reverse"><path d="M0 1 9 5 0 9z" fill="{color}"/>'
        "</marker>"
        for name, color in (("member", MEMBER), ("server", SERVER))
    ]
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{said}" font-family="{font}">',
        f"<defs>{''.join(heads)}</defs>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        f'<rect x="14" y="14" width="436" height="{height - 28}" rx="10" fill="#eef7f5"/>',
        f'<rect x="462" y="14" width="{WIDTH - 476}" height="{height - 28}" rx="10" '
        'fill="#f0f3fb"/>',
        _text(32, 38, "THE MEMBER'S SIDE", 11, MEMBER, anchor="start", weight=600),
        _text(480, 38, "THE SERVER'S SIDE", 11, SERVER, anchor="start", weight=600),
    ]


def _lanes(height: int) -> list[str]:
    drawn = []
    for x, name, small, color in LANES.values():
        drawn += [
            f'<line x1="{x}" y1="{TOP + 14}" x2="{x}" y2="{height - 26}" stroke="{LINE}" '
            'stroke-width="1.5" stroke-dasharray="2 5" stroke-linecap="round"/>',
            f'<rect x="{x - 74}" y="{TOP - 40}" width="148" height="48" rx="8" fill="#ffffff" '
            f'stroke="{color}" stroke-width="1.5"/>',
            _text(x, TOP - 20, name, 14, color, weight=600),
            _text(x, TOP - 3, small, 11, SOFT),
        ]
    return drawn


def _title(text: str, y: int) -> str:
    line = f'<line x1="32" y1="{y + 8}" x2="{WIDTH - 32}" y2="{y + 8}" stroke="{LINE}"/>'
    return line + _text(32, y, text, 15, INK, anchor="start", weight=600, halo=True)


def _note(start: str, end: str, text: str, y: int) -> str:
    left, right = LANES[start][0] - 60, LANES[end][0] + 60
    box = (
        f'<rect x="{left}" y="{y - 22}" width="{right - left}" height="30" rx="6" '
        f'fill="{NOTE}" stroke="#e6cf8b"/>'
    )
    return box + _text((left + right) // 2, y - 2, text, 12.5, INK)


def _arrow(arrow: Arrow, number: int, y: int) -> str:
    x1, x2 = LANES[arrow.start][0], LANES[arrow.end][0]
    color, head = (MEMBER, "member") if arrow.start in _MEMBERS else (SERVER, "server")
    inset = 5 if x2 > x1 else -5
    dashes = ' stroke-dasharray="6 4"' if arrow.reply else ""
    drawn = (
        f'<line x1="{x1}" y1="{y}" x2="{x2 - inset}" y2="{y}" stroke="{color}" '
        f'stroke-width="1.8"{dashes} marker-end="url(#{head})"/>'
    )
    drawn += f'<circle cx="{x1}" cy="{y}" r="10" fill="{color}"/>'
    drawn += _text(x1, y + 4, str(number), 11, "#ffffff", weight=600)
    middle = (x1 + x2) // 2
    drawn += _text(middle, y - 7, arrow.text, 12.5, INK, weight=600, halo=True)
    if arrow.small:
        drawn += _text(middle, y + 15, arrow.small, 11, SOFT, halo=True)
    return drawn


def _text(
    x: int,
    y: int,
    text: str,
    size: float,
    color: str,
    *,
    anchor: str = "middle",
    weight: int = 400,
    halo: bool = False,
) -> str:
    # A light edge around the letters keeps them readable where they cross a lane.
    edge = ' stroke="#f3f6f9" stroke-width="4" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{color}" '
        f'text-anchor="{anchor}"{edge}>{escape(text)}</text>'
    )


def main() -> int:
    """Write the file."""
    TARGET.write_text(svg(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
