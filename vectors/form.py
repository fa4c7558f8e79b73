"""The form of a vector file: a header of ``key: value`` lines, an empty line, a JSON body."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "files"
OK = "ok"


@dataclass(frozen=True)
class Vector:
    """One case. ``expect`` is ``ok`` or the error code; ``output`` is there when it is ``ok``."""

    name: str
    operation: str
    expect: str
    requirement: str
    why: str
    given: dict[str, Any]
    output: dict[str, Any] | None = None

    def to_text(self) -> str:
        """Return the file's text."""
        body: dict[str, Any] = {"input": self.given}
        if self.output is not None:
            body["output"] = self.output
        return (
            "twinlock-vector: 1\n"
            f"operation: {self.operation}\n"
            f"expect: {self.expect}\n"
            f"requirement: {self.requirement}\n"
            f"why: {self.why}\n\n" + json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        )


def parse(name: str, text: str) -> Vector:
    """Read a file's text back."""
    head, body = text.split("\n\n", 1)
    lines = dict(line.split(": ", 1) for line in head.splitlines())
    if lines.pop("twinlock-vector") != "1":
        raise SystemExit(f"{name} is of another version")
    content = json.loads(body)
    return Vector(
        name,
        lines["operation"],
        lines["expect"],
        lines["requirement"],
        lines["why"],
        content["input"],
        content.get("output"),
    )


def load_all() -> list[Vector]:
    """Read every vector, by name."""
    return [parse(path.stem, path.read_text()) for path in sorted(FOLDER.glob("*.txt"))]
