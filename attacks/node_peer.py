"""Node.js beside an attack: a script of attacks/browser/ that answers calls, one JSON line each."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attacks.tools import node
from twinlock.errors import CallerError, DataError, TwinlockError

SCRIPTS: Final = Path(__file__).parent / "browser"


class NodeError(Exception):
    """The script failed in a way that is no refusal of Twinlock's: the attack is wrong."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One place of web/src where a defence is taken away.

    In ``file`` the text ``old`` stands exactly once; the weakened build has ``new`` there.
    """

    file: str
    old: str
    new: str


class NodePeer:
    """A running script. Bytes cross as base64; a refusal comes back as the error that it is."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [str(node()), str(SCRIPTS / script), *arguments]
        # Its own process group and an end with stdin: nothing of it outlives this process.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
        )

    def call(self, name: str, **arguments: object) -> Any:
        """Call one of the script's functions. Raises TwinlockError as the script did, NodeError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": name, "with": _out(arguments)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise NodeError(f"{name}: Node.js ended with {self._process.wait()}")
        answer = json.loads(line)
        if "refused" in answer:
            raise _refusal(**answer["refused"])
        if "failed" in answer:
            raise NodeError(f"{name}: {answer['failed']}")
        return _in(answer["value"])

    def close(self) -> None:
        """End the script."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _refusal(code: str, message: str, notes: Sequence[str] = ()) -> TwinlockError:
    family = CallerError if code.startswith(("release.", "agent.")) else DataError
    error = family(code, message)
    for note in notes:
        error.add_note(note)
    return error


def _out(value: object) -> object:
    match value:
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case Mapping():
            return {key: _out(item) for key, item in value.items()}
        case list() | tuple():
            return [_out(item) for item in value]
    return value


def _in(value: Any) -> Any:
    match value:
        case {"base64": str(text)} if len(value) == 1:
            return base64.b64decode(text)
        case dict():
            return {key: _in(item) for key, item in value.items()}
        case list():
            return [_in(item) for item in value]
    return value


@cache
def built(
    entries: tuple[tuple[str, str], ...], patches: tuple[Patch, ...] = (), *, pages: bool = False
) -> Path:
    """Build parts of web/src, weakened by ``patches``; the folder lasts as long as the process.

    ``entries``: (name, path below web/). ``pages``: with web/static beside it. Raises NodeError
    when a patch does not fit: the source moved on, and the attack has to follow.
    """
    described = {
        "entries": dict(entries),
        "patches": [{"file": p.file, "from": p.old, "to": p.new} for p in patches],
        "static": pages,
    }
    text = json.dumps(described)
    out = Path(_builds().name) / hashlib.sha256(text.encode()).hexdigest()[:16]
    command = [str(node()), str(SCRIPTS / "build.mjs"), str(out), text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"building {entries}: {done.stderr.strip()}")
    return out


@cache
def _builds() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="twinlock-attacks-web.")
